# frozen_string_literal: true

# The lines of the journal: the same bytes as autotask/journal.py writes.
module AutotaskAgent
  # What each run needs. The rest is in lines_rare.rb.
  module Lines
    PLAIN = /\A[ !#-\[\]-~]*\z/ # what a JSON string holds as it is

    class << self
      # Write a run's first line; *process* are the `process_fields` of its process. *unsent*: the
      # Agent was away a moment ago, and nothing is sent to it.
      def started(run, process, unsent = false)
        %({"event":"started","run":"#{run.id}","root":"#{run.root}","parent":#{run.parent ? %("#{run.parent}") : "null"},) +
          %("at":"#{moment(run.started)}","task":#{quoted(run.task)},"framework":#{quoted(run.framework)},"trigger":#{quoted(run.trigger)}) +
          "#{',"server":true' if run.server}#{',"bookkeeping":true' if run.bookkeeping},#{process}#{',"unsent":true' if unsent}}"
      end

      # Write the fields of a started line that are the same for all runs of a process.
      def process_fields(pid, identity, host, ruby = nil, settings = nil)
        is_usual = ruby && settings && !settings.tagged
        return rare.process_fields(pid, identity, host, ruby, settings) unless is_usual

        %("pid":#{pid},"process":#{quoted(identity)},"host":#{quoted(host)},"ruby":#{quoted(ruby)})
      end

      # Write a run's last line.
      def finished(run, ending, unsent = false)
        status = ending.outcome.status
        took = [ending.duration, ending.cpu, ending.max_rss]
        took = took.all? ? format(',"duration":%.6f,"cpu":%.6f,"max_rss":%d', *took) : rare.took(*took)
        %({"event":"finished","run":"#{run.id}","root":"#{run.root}","at":"#{moment(ending.at)}","status":"#{status}") +
          "#{rare.outcome(ending.outcome) unless status == "success"}#{took}#{',"unsent":true' if unsent}}"
      end

      def raised(*fields)
        rare.raised(*fields)
      end

      # Write that a run's `started` or `finished` was `unsent`, or has been `sent` since.
      def delivery(event, id, root, which)
        at = moment(::Process.clock_gettime(::Process::CLOCK_REALTIME))
        %({"event":"#{event}","run":"#{id}","root":"#{root}","at":"#{at}","of":"#{which}"})
      end

      # Write a POSIX time in RFC 3339, UTC, with microseconds.
      def moment(at)
        ::Time.at(0, (at * 1_000_000 + 0.5).to_i).utc.strftime("%FT%T.%6NZ")
      end

      # Name the segment of a POSIX time: `2026-11-25T03.jsonl`.
      def segment(at)
        ::Time.at(at).utc.strftime("%FT%H.jsonl")
      end

      # Write a JSON string in ASCII.
      def quoted(text)
        text.ascii_only? && PLAIN.match?(text) ? %("#{text}") : rare.quoted(text)
      end

      private

      def rare
        AutotaskAgent.load("lines_rare")
        LinesRare
      end
    end
  end
end
