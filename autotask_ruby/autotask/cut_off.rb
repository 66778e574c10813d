# frozen_string_literal: true

# Closes the runs of a process that leaves by a way that skips at_exit.
module AutotaskAgent
  load("failing")

  # What Leaving calls in the place of such a way out, if this process has runs open.
  module CutOff
    BECAME = "became-" # before a mark's name: found dead, its process's runs count as successes

    class << self
      def exit!(args)
        AutotaskAgent.guarded("exit!") { end_all(status_of(args)) }
        yield
      end

      # The process goes on as its own child, in which no run is open.
      def daemon(_args)
        AutotaskAgent.guarded("daemon") { end_all(0) }
        yield
      end

      # How the program that this process becomes will end, only its parent knows.
      def exec(_args)
        rename(BECAME)
        yield
      rescue ::Exception => problem # the program lives on
        rename("")
        AutotaskAgent.guarded("exec") { hide_us(problem) }
        raise
      end

      private

      # `exec` itself is in a C function, whose place is that of its caller.
      def hide_us(problem)
        first, *others = problem.backtrace
        others.reject! { |line| line.start_with?(FOLDER, "(autotask)") }
        label = first[/:in .*/].to_s.sub("autotask_", "")
        problem.set_backtrace([others.first.to_s[/\A.*?:\d+/].to_s + label, *others])
      end

      def status_of(args)
        status = args.fetch(0, false) # exit! alone is a failure
        status.is_a?(::Integer) ? status & 0xFF : (status ? 0 : 1)
      end

      def end_all(status)
        outcome = status.zero? ? SUCCESS : Outcome.failure("exit", exit_code: status)
        Recorder.open_runs.reverse_each do |run|
          Recorder.end(run, outcome)
          outcome = outcome.passed_on(Recorder.cause_of(run)) if outcome.failure?
        end
        Recorder.here.leave
      end

      def rename(word)
        AutotaskAgent.guarded("exec") do
          journal = Recorder.here.journal
          next unless journal && journal.mark

          folder, name = File.split(journal.mark)
          path = "#{folder}/#{word}#{name.sub(/\A#{BECAME}/, "")}"
          File.rename(journal.mark, path)
          journal.mark = path
        end
      end
    end
  end
end
