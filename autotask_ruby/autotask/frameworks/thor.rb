# frozen_string_literal: true

# Thor 0.20 to 1.5: a run for each command, and one for each Thor::Group, whose methods are its steps.
module AutotaskAgent
  # No runs: help and version, and the commands that Thor itself defines. Those hand on to a
  # subcommand, a registered group or a Rake task, or are `thor`'s own (list, install, ...).
  module Thor
    RUN = <<-RUBY
      alias_method :autotask_run, :run
      private :autotask_run
      def run(instance, args = [])
        call = ::AutotaskAgent::Thor.call
        begin
          ::AutotaskAgent::Thor.begin(call, self, instance)
          result = autotask_run(instance, args)
          ::AutotaskAgent::Thor.succeed(call)
          result
        rescue ::Exception => problem
          ::AutotaskAgent::Thor.cold(:failed, call, problem)
          raise
        ensure
          ::AutotaskAgent::Thor.leave(call, problem)
        end
      end
    RUBY
    DISPATCH = <<-RUBY
      alias_method :autotask_dispatch, :dispatch
      private :autotask_dispatch
      def dispatch(command, given_args, given_opts, config, &block)
        call = ::AutotaskAgent::Thor.call
        begin
          ::AutotaskAgent::Thor.enter(call, self, given_args)
          result = autotask_dispatch(command, given_args, given_opts, config, &block)
          ::AutotaskAgent::Thor.succeed(call)
          result
        rescue ::Exception => problem
          ::AutotaskAgent::Thor.cold(:refuse, call, problem, config)
          raise
        ensure
          ::AutotaskAgent::Thor.leave(call, problem)
        end
      end
      protected :dispatch
    RUBY
    # Commands that serve until they are stopped.
    SERVERS = %w[rails.server good_job.start shoryuken.start jobs.start].freeze
    PLACE = :autotask_thor # the thread variable that holds a thread's innermost dispatch

    # One command, or one dispatch: a class that looks for its command, and runs it.
    Call = ::Struct.new(
      :run,
      :outer,      # of a command its dispatch, of a dispatch the one around it
      :owner,      # the class; of dispatches alone, as what follows
      :path,       # the names that lead to it
      :before,     # what PLACE was
      :subcommand, # the command that hands on to the next dispatch
      :reached     # a command has begun: until then, arguments may be wrong
    )

    class << self
      # *owner* is Thor or Thor::Group, almost defined: what its commands are made of is there.
      def instrument(owner)
        owner.singleton_class.class_eval(DISPATCH, "(autotask)/thor", 1)
        return if @folder

        @folder = File.dirname(::Thor::Command.instance_method(:run).source_location[0])
        @program = File.basename($PROGRAM_NAME, ".rb") # programs change it later
        ::Thor::Command.class_eval(RUN, "(autotask)/thor", 1)
      end

      def call
        AutotaskAgent.guarded("thor call") { Call.new }
      end

      def enter(call, owner, words)
        AutotaskAgent.guarded("thor enter") do
          call.owner = owner
          call.before = ::Thread.current.thread_variable_get(PLACE)
          call.outer = place
          ::Thread.current.thread_variable_set(PLACE, call)
          call.path = path_to(owner, call.outer)
          call.outer.reached = true if call.outer
          start(call, call.path) unless owner <= ::Thor || ::Thor::HELP_MAPPINGS.include?(words.first)
        end
      end

      def begin(call, command, instance)
        AutotaskAgent.guarded("thor begin") do
          owner = instance.class
          next unless owner <= ::Thor # the steps of a group are a part of its run

          call.outer = place
          call.outer = cold(:dispatch_of, owner) unless call.outer && call.outer.owner.equal?(owner)
          if (path = path_of(command, owner, call.outer))
            call.outer.reached = true
            start(call, path)
          end
        end
      end

      def succeed(call)
        AutotaskAgent.guarded("thor succeed") { Recorder.end(call.run, SUCCESS) } if call && call.run
      end

      def leave(call, problem)
        AutotaskAgent.guarded("thor leave") do
          if call.owner
            ::Thread.current.thread_variable_set(PLACE, call.before)
          elsif call.outer
            call.outer.subcommand = nil
          end
          cold(:left, call, problem) if call.run && !call.run.ended
        end
      end

      # Calls what only failures and commands that call others need.
      def cold(name, *args)
        AutotaskAgent.guarded("thor #{name}") do
          AutotaskAgent.load("frameworks/thor_failures")
          __send__(name, *args)
        end
      end

      private

      def start(call, path)
        AutotaskAgent.load("recorder")
        task = [@program, *path].join(".")
        Recorder.begin(call, task, "thor", server: SERVERS.include?(task))
      end

      # The innermost dispatch of this thread, else of the main one, which most likely started it.
      def place
        ::Thread.current.thread_variable_get(PLACE) || ::Thread.main.thread_variable_get(PLACE)
      end

      # The names that lead to a class: through the command that hands on to it. None for the first.
      def path_to(owner, around)
        return around.path + [around.subcommand] if around && around.subcommand

        around || rails?(owner) ? cold(:names_to, owner, around) : []
      end

      # The names that lead to a command; nil if it is not a run.
      def path_of(command, owner, dispatch)
        name = command.name
        if command.instance_of?(::Thor::DynamicCommand) # the name is what the user has typed
          dispatch.path if catches_all?(owner)
        elsif thors_own?(owner, name)
          dispatch.subcommand = name
          nil
        elsif !%w[help version].include?(name)
          rails?(owner) && dispatch.path.last == name ? dispatch.path : dispatch.path + [name]
        end
      end

      def catches_all?(owner)
        !owner.instance_method(:method_missing).owner.equal?(::BasicObject) &&
          !thors_own?(owner, :method_missing)
      end

      def thors_own?(owner, method)
        return false unless owner.method_defined?(method) || owner.private_method_defined?(method)

        file, = owner.instance_method(method).source_location
        file.to_s.start_with?("#{@folder}.rb", "#{@folder}/")
      end

      # Rails finds a class by its namespace: `runner` is the command `runner` of `rails:runner`.
      def rails?(owner)
        owner.respond_to?(:command_root_namespace, true)
      end
    end
  end
end
