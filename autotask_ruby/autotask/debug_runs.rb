# frozen_string_literal: true

# What AUTOTASK_DEBUG logs of runs: where they go, each start and end, and why there is none.
module AutotaskAgent
  load("debuglog")

  # Goes before Recorder's own methods. Loaded only if AUTOTASK_DEBUG asks for it.
  module DebugRuns
    def begin(call, task, framework, **)
      super
      run = call.run
      if run
        told = "run #{run.id} of #{framework} task #{task.inspect} began under #{run.parent || "none"}"
      elsif !@over
        told = "no run: #{framework} task #{task.inspect} is excluded or ignored"
      end
      DebugLog.write { told } if told
    end

    def end(run, outcome)
      ended = run.ended
      super
      told = "run #{run.id} ended: #{outcome.status} #{outcome.reason}".rstrip
      DebugLog.write { told } if run.ended && !ended
    end

    def teller(first)
      before = @here
      here = super
      explain(here) unless here.equal?(before)
      here
    end

    private

    # Log where the runs of this process go, and which settings have no valid value.
    def explain(here)
      kind, host, port = settings.destination
      sent = here.wire ? "to #{kind} #{host}#{":#{port}" unless port.zero?}" : "nowhere"
      told = "process #{here.pid}: runs are journalled #{journalled(here.journal)}, sent #{sent}"
      DebugLog.write { told }
      settings.problems.each { |problem| DebugLog.write { "counts as unset: #{problem}" } }
    end

    def journalled(journal)
      return "nowhere" if journal.nil?

      journal.home.empty? ? "on standard error" : "in #{journal.folder}"
    end
  end

  Recorder.singleton_class.__send__(:prepend, DebugRuns)
end
