# frozen_string_literal: true

# The recorder's part that only failures need: which run an exception has left, what it means.
module AutotaskAgent
  load("recorder")
  load("outcomes")
  load("causes")

  # Goes on with recorder.rb.
  module Recorder
    @behind = ::ObjectSpace::WeakMap.new # the failed run that an exception has left
    @failed = [] # the last ones: that map keeps its values no more than its keys
    KEPT = 200

    class << self
      # Closes a run that an exception leaves: as `nested` if it has left a run inside before.
      # *outcome* is what the framework makes of that exception alone.
      def fail(run, problem, outcome = Outcome.raised(problem, settings))
        outcome = judged(problem, outcome)
        note(problem, run) if outcome.failure?
        self.end(run, outcome)
      end

      # Closes a run that was left by throw, break or next; whose thread was killed; or whose failure,
      # *problem*, could not be recorded.
      def leave(run, problem)
        outcome = SUCCESS
        if problem
          outcome = Outcome.failure("exception") unless ::SystemExit === problem && problem.success?
          note(problem, run)
        elsif ::Thread.current.status == "aborting"
          outcome = Outcome.failure("lost")
        elsif timed_out?
          outcome = Outcome.failure("exception", error: { "type" => "Timeout::Error" })
        end
        self.end(run, outcome)
      end

      # Records a run that is known only at its end.
      def report(task, framework, outcome, began = nil)
        call = Call.new(task)
        self.begin(call, task, framework, began: began)
        self.end(call.run, outcome) if call.run
        call.run
      end

      # A fork knows the runs of its parent, too.
      def open_runs
        @open.values.select { |run| run.pid == $$ }
      end

      def judged(problem, outcome)
        inner = outcome.failure? ? behind(problem) : nil
        inner ? outcome.passed_on(cause_of(inner)) : outcome
      end

      # Notes which run an exception has left.
      def note(problem, run)
        @behind[problem] = run
        @failed.push(run).shift(@failed.size > KEPT ? 1 : 0)
      rescue ::ArgumentError, ::RuntimeError
        nil # Ruby 2.6 and older refuse what is frozen
      end

      # Returns the failed run that an exception, or what it was raised because of, has left.
      def behind(problem)
        noted = AutotaskAgent.causes(problem).find { |cause| @behind.key?(cause) }
        @behind[noted] if noted
      end

      def cause_of(failed)
        (failed.ended && failed.ended.caused_by) || failed.id
      end

      private

      # Up to Ruby 3.2 Timeout throws, and raises its error only where it was called.
      def timed_out?
        catcher = caller_locations.find { |frame| frame.base_label == "catch" }
        catcher && File.basename(catcher.path) == "timeout.rb"
      end
    end
  end
end
