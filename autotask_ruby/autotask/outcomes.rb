# frozen_string_literal: true

# Status and reason from an exception or an exit code. Loaded only after a failure.
module AutotaskAgent
  # What an exception that has left a task, or a program, means.
  class Outcome
    def failure?
      status == "failure"
    end

    # Whether a signal or Ctrl-C stopped it: for a server that is not a failure.
    def stopped?
      reason == "interrupted" || %w[SIGTERM SIGINT].include?(signal)
    end

    # The outcome of a run that failed only because the run *cause* inside it did.
    def passed_on(cause)
      Outcome.new("failure", "nested", exit_code, signal, error, cause)
    end

    class << self
      def failure(reason, exit_code: nil, signal: nil, error: nil)
        new("failure", reason, exit_code, signal, error)
      end

      def raised(problem, settings)
        case problem
        when ::SystemExit then exited(problem, settings)
        when ::Interrupt then failure("interrupted")
        when ::SignalException then failure("signal", signal: signal_name(problem))
        else failure("exception", error: describe(problem, settings))
        end
      end

      def describe(problem, settings)
        AutotaskAgent.load("failures")
        Failures.describe(problem, settings)
      end

      private

      # `abort "text"` leaves its text as the message; `exit 3` leaves "exit".
      def exited(problem, settings)
        code = problem.status & 0xFF # what the system keeps of it
        return SUCCESS if code.zero?

        error = describe(problem, settings) unless problem.message == "exit"
        failure("exit", exit_code: code, error: error)
      end

      def signal_name(problem)
        name = problem.signm.to_s
        name.start_with?("SIG") ? name : "SIG#{::Signal.signame(problem.signo)}"
      end
    end
  end

  SKIPPED = Outcome.new("skipped").freeze
end
