# frozen_string_literal: true

# The run of a whole process, from inside: for processes that no launcher records from outside. Also
# what a process tells its launcher at its end.
module AutotaskAgent
  evaluate("guard")

  def self.begin_process
    guarded("process run") { ProcessRun.begin }
  end

  # Opened when the interpreter starts, and closed by the last at_exit of all.
  module ProcessRun
    TOOLS = %w[gem bundle bundler irb pry ri rdoc erb ruby-lsp solargraph].freeze
    # Of these the words that choose a command are a part of the name: how many. See command_name.py.
    ROUTERS = { "rake" => 1, "rails" => 1, "gitlab-rake" => 1, "thor" => 1, "cap" => 2 }.freeze
    QUIET = %w[-q --quiet -s --silent -v --verbose -n].freeze # what may come before that word
    # Commands that serve until they are stopped.
    SERVERS = [
      "puma", "unicorn", "thin", "rackup", "sidekiq", "rails server", "rails s", "clockwork",
      "resque-scheduler", "good_job", "shoryuken"
    ].freeze
    VALUED = /\A-[a-zA-Z]*[eIrCEFKT]\z/.freeze # Ruby's options that take the next word

    class << self
      # A root process that runs a script has a run; not `-e`, and not a known tool.
      def begin
        words = command
        return if words.empty?

        AutotaskAgent.load("recorder")
        wanted = Recorder.settings
        script = through_bundler(words)
        name = wanted.name || name_of(script)
        return if wanted.process == "0" || (wanted.process == "auto" && TOOLS.include?(name))

        # Bundler loads a Ruby script into its own process; it may become another program, too.
        began = Recorder.steady
        opened = -> { open(name, began) }
        script.equal?(words) ? opened.call : Recorder.pending = opened
      end

      # *problem* is what ends the program; *own*: this process is not a fork of it; *to_blame*: the
      # run whose failure that was, if a framework knows.
      def finish(problem, own, to_blame)
        AutotaskAgent.load("failing")
        program = Recorder.program
        Recorder.open_runs.reverse_each do |run|
          Recorder.end(run, Outcome.failure("lost")) unless run.equal?(program)
        end
        return unless own

        tell_launcher(problem, to_blame) if problem
        Recorder.end(program, outcome_of(problem, to_blame, program)) if program
      end

      private

      def open(name, began)
        call = Call.new(nil)
        Recorder.begin(call, name, "process", server: SERVERS.include?(name), began: began)
        Recorder.program = call.run
      end

      # A launcher sees only the status: leave word of what has led to it.
      def tell_launcher(problem, to_blame)
        id, pid = ENVIRON[Settings::PROCESS_RUN].to_s.split(":")
        return unless pid == $$.to_s

        outcome = outcome_of(problem, to_blame)
        return unless outcome.failure?

        here = Recorder.teller(id)
        now = Recorder::CLOCK.call(::Process::CLOCK_REALTIME)
        here.journal.append(Lines.raised(id, here.root || id, now, outcome)) if here.journal
      end

      def outcome_of(problem, to_blame, program = nil)
        return SUCCESS if problem.nil?

        outcome = Outcome.raised(problem, Recorder.settings)
        return outcome unless outcome.failure?
        return SUCCESS if program && program.server && outcome.stopped?

        to_blame ||= Recorder.behind(problem)
        to_blame ? outcome.passed_on(Recorder.cause_of(to_blame)) : outcome
      end

      # The script with its arguments; none for `-e` and standard input. `$0` is not set so early.
      def command
        words = File.open("/proc/self/cmdline", "rb", &:read).split("\0")
        words = words.drop((words.index("org.jruby.Main") || 0) + 1)
        while words.first && words.first.start_with?("-")
          word = words.shift
          return [] if word == "-" || word.start_with?("-e")
          break if word == "--"

          words.shift if VALUED.match?(word)
        end
        words
      rescue ::SystemCallError
        []
      end

      # `bundle exec rake x` is no `bundle`.
      def through_bundler(words)
        return words unless words.first && %w[bundle bundler].include?(File.basename(words.first))

        index = words.index("exec")
        rest = index ? words.drop(index + 1) : []
        rest.shift while rest.first && rest.first.start_with?("-")
        rest.empty? ? words : rest
      end

      def name_of(words)
        name = File.basename(words.first)
        rest = words.drop(1).drop_while { |option| QUIET.include?(option) }
        chosen = rest.first(ROUTERS.fetch(name, 0)).take_while { |word| /\A\w[\w:.-]*\z/.match?(word) }
        [name, *chosen].join(" ")
      end
    end
  end
end
