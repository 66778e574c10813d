# frozen_string_literal: true

# Rake's other half: failures, tasks that were kept from their actions, file tasks, pools of threads.
module AutotaskAgent
  load("failing")

  # Goes on with rake.rb.
  module Rake
    BY_RAKE = /exit_because_of_exception|rescue in .*standard_exception_handling/
    SH_FAILED = /\ACommand failed with status \((\d*)\)/
    UNKNOWN = /\A(?:Don't know how to build task|No Rakefile found)/

    class << self
      private

      def current
        Recorder.current || false
      end

      # What a pool's thread executes hangs under the run that has asked for it.
      def adopt(run)
        Recorder.current = run unless run.nil? || ::Thread.current.equal?(::Thread.main)
      end

      def fail(call, problem)
        enhance(call) if call.began && !call.task.actions.empty?
        return if call.run.nil? || call.run.ended

        Recorder.fail(call.run, problem, judged(problem))
      end

      # A rule has brought actions to a task that had none.
      def enhance(call)
        Recorder.begin(call, call.task.name, "rake", began: call.began)
      end

      def leave(call, problem)
        Recorder.leave(call.run, problem)
      end

      # An exception passes a task's invocation. If its own actions have not raised it, they never ran:
      # a prerequisite has failed, or is missing.
      def pass(task, problem)
        return if task.actions.empty? || task.application.options.dryrun
        return if task.instance_variable_get(:@invocation_exception).equal?(problem) # again

        inner = Recorder.behind(problem)
        return if inner && inner.task == task.name

        outcome = Recorder.judged(problem, judged(problem, task))
        return unless outcome.failure?

        run = Recorder.report(task.name, "rake", outcome)
        Recorder.note(problem, run) if run && inner.nil?
      end

      # What Rake itself has to say at the end of its program, which *problem* ends.
      def finish(problem)
        origin = origin_of(problem)
        if origin
          Recorder.behind(origin) || report_failure(origin)
        elsif problem.nil?
          top_level.each { |name| report_up_to_date(::Rake.application.lookup(name)) }
          nil
        end
      end

      # Rake tells of an exception, and ends its program by `exit(false)`: what was the exception?
      def origin_of(problem)
        return unless problem.is_a?(::SystemExit) && !problem.success? && problem.cause

        lines = (problem.backtrace || []).first(8)
        problem.cause if lines.any? { |line| BY_RAKE.match?(line) }
      end

      # What no task has raised: the command line was wrong, or the Rakefile.
      def report_failure(origin)
        outcome = judged(origin)
        if outcome.error && usage?(outcome.error["type"], text_of(origin))
          outcome = Outcome.failure("usage", exit_code: 1, error: outcome.error)
        end
        run = Recorder.report("rake", "rake", outcome)
        Recorder.note(origin, run) if run
        run
      end

      def usage?(type, text)
        type.start_with?("OptionParser::") || UNKNOWN.match?(text)
      end

      def report_up_to_date(task)
        return if !task.is_a?(::Rake::FileTask) || task.actions.empty? || @executed[task]
        return unless task.instance_variable_get(:@already_invoked)

        Recorder.report(task.name, "rake", SKIPPED)
      end

      # *task* is one whose prerequisites have failed.
      def judged(problem, task = nil)
        return Outcome.raised(problem, Recorder.settings) unless problem.is_a?(::StandardError)

        error = Outcome.describe(problem, Recorder.settings)
        if (status = SH_FAILED.match(text_of(problem)))
          Outcome.failure("exit", exit_code: status[1].empty? ? nil : status[1].to_i, error: error)
        else
          Outcome.failure("exception", error: task ? with_place(error, task) : error)
        end
      end

      # The message, if Rake itself may have raised this. It raises plain RuntimeErrors.
      def text_of(problem)
        problem.instance_of?(::RuntimeError) ? Text.valid(problem.message, "?") : ""
      end

      # What Rake itself raises passes no line of a Rakefile: then the task's own has to do.
      def with_place(error, task)
        action = task.actions.first
        place = action.respond_to?(:source_location) && action.source_location
        place && !error.key?("where") ? error.merge("where" => place.join(":")) : error
      end
    end
  end
end
