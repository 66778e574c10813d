# frozen_string_literal: true

# Rake: a pair of actions round Rake::Task#execute, which runs a task's own actions.
module AutotaskAgent
  # Each task with actions that is executed is a run. rake_failures.rb knows the other two kinds: a
  # task that its prerequisites keep from its actions; a file task that was up to date.
  module Rake
    # By alias: Rakefiles that alias `execute` afterwards would call a prepended one for ever. Rake
    # leaves lines of a bin/rake out of the backtraces that it prints.
    PAIR = <<-RUBY
      alias_method :autotask_execute, :execute
      alias_method :autotask_add_chain_to, :add_chain_to
      def execute(args = nil)
        call = ::AutotaskAgent::Rake.call(self)
        begin
          ::AutotaskAgent::Rake.begin(call)
          result = autotask_execute(args)
          ::AutotaskAgent::Rake.succeed(call)
          result
        rescue ::Exception => problem
          ::AutotaskAgent::Rake.cold(:fail, call, problem)
          raise
        ensure
          ::AutotaskAgent::Rake.cold(:leave, call, problem) if call && call.run && !call.run.ended
        end
      end
      def add_chain_to(problem, chain)
        autotask_add_chain_to(problem, chain)
        ::AutotaskAgent::Rake.cold(:pass, self, problem)
      end
      private :autotask_execute, :add_chain_to
    RUBY
    FUTURE = <<-RUBY
      alias_method :autotask_future, :future
      private :autotask_future
      def future(*args, &block)
        run = ::AutotaskAgent::Rake.cold(:current)
        autotask_future(*args) do |*given|
          ::AutotaskAgent::Rake.cold(:adopt, run)
          block.call(*given)
        end
      end
    RUBY
    # Tasks that Rails, Capistrano and others run for themselves; what these run inside, too.
    BOOKKEEPING = %w[
      environment app:environment assets:environment load_app
      db:load_config app:db:load_config db:check_protected_environments db:_dump
      jobs:environment_options spec:prepare spec:statsetup load:defaults ensure_stage
    ].freeze

    @executed = {}.compare_by_identity # file tasks that the user has asked for
    @is_ready = false

    class << self
      def instrument(owner)
        source = owner.method_defined?(:future) ? FUTURE : PAIR
        return if source == PAIR && !owner.private_method_defined?(:add_chain_to) # another Rake

        owner.class_eval(source, "(autotask)/bin/rake", 1)
      end

      def call(task)
        return Call.new(task) if @is_ready

        AutotaskAgent.guarded("rake call") do
          AutotaskAgent.load("recorder")
          made = Call.new(task)
          @is_ready = true
          made
        end
      end

      def begin(call)
        AutotaskAgent.guarded("rake begin") do
          task = call.task
          @executed[task] = true if task.is_a?(::Rake::FileTask) && top_level.include?(task.name)
          if task.application.options.dryrun
            nil # not a run
          elsif task.actions.empty?
            call.began = Recorder.steady # a rule may bring some
          else
            name = task.name
            Recorder.begin(call, name, "rake", bookkeeping: bookkeeping?(name))
          end
        end
      end

      def succeed(call)
        AutotaskAgent.guarded("rake succeed") do
          cold(:enhance, call) if call.began && !call.task.actions.empty?
          Recorder.end(call.run, SUCCESS) if call.run
        end
      end

      # Returns the run that is to blame for the end of the program, if there is one.
      def at_exit(problem)
        cold(:finish, problem) if problem || asked_for_files?
      end

      # Tells whether one of the tasks that the user has asked for is a file task.
      def asked_for_files?
        defined?(::Rake.application) &&
          top_level.any? { |name| ::Rake.application.lookup(name).is_a?(::Rake::FileTask) }
      end

      # `db:_dump:NAME` is Rails' for one of several databases.
      def bookkeeping?(name)
        BOOKKEEPING.include?(name) || name.start_with?("db:_dump:") || stage?(name)
      end

      # Capistrano's stage (`cap production deploy`) is a task that loads its configuration.
      def stage?(name)
        defined?(::Capistrano::Application) && top_level.first == name && name != "install" &&
          ::Capistrano::Application === ::Rake.application
      end

      # Not by its reader: Capistrano's adds a task at each call.
      def top_level
        ::Rake.application.instance_variable_get(:@top_level_tasks) || []
      end

      # Calls what only failures and file tasks need.
      def cold(name, *args)
        AutotaskAgent.guarded("rake #{name}") do
          AutotaskAgent.load("frameworks/rake_failures")
          __send__(name, *args)
        end
      end
    end
  end
end
