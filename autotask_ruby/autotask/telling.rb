# frozen_string_literal: true

# Tells of starts and ends: mark, line, datagram, what the Agent did not take, mark back.
module AutotaskAgent
  # Tells of this process's runs, in the order on which all who find them later rely: the mark, so
  # that a process that dies is found; the line, which alone outlives it; the datagram.
  class Teller
    attr_reader :pid, :parent, :root, :trigger, :journal, :wire
    attr_accessor :handed_on # the run that the environment names

    def initialize(settings)
      @pid = $$
      @parent, @root, @trigger = Settings.parent_of(ENVIRON)
      @handed_on = @journal = @wire = nil
      AutotaskAgent.load("procfs")
      @host = host
      @trigger ||= find_trigger
      open_journal(settings) if settings.stderr || (settings.journal && settings.home)
      open_wire(settings) if settings.dogstatsd
    end

    # Lets others find this process if it dies: written before the line of its first run.
    def leave_mark(first)
      @journal.leave_mark("#{@pid}-#{first}", @identity, @pid, @host, @root || first) if @journal
    end

    # The block is called immediately before the line is written.
    def start(run, &claim)
      quiet = run.bookkeeping || !@wire
      unsent = !quiet && @wire.paused?
      if @journal
        @journal.append(Lines.started(run, @fields, unsent), &claim)
      else
        claim.call
      end
      @wire.started(run) unless quiet || unsent
    end

    def finish(run, ending)
      quiet = !@wire || (run.bookkeeping && ending.outcome.status != "failure")
      unsent = !quiet && @wire.paused?
      @journal.append(Lines.finished(run, ending, unsent)) if @journal
      @wire.finished(run, ending, @host) unless quiet || unsent
    end

    # The last thing of all.
    def leave
      if @wire
        @wire.give_up
        @wire.close
      end
      @journal.take_mark_back(@wire && @wire.has_refused) if @journal
    end

    private

    def host
      File.read("/proc/sys/kernel/hostname").chomp("\n")
    rescue ::SystemCallError
      ""
    end

    def open_journal(settings)
      AutotaskAgent.load("lines")
      AutotaskAgent.load("journal")
      @identity = Procfs.identity
      @fields = Lines.process_fields(@pid, @identity, @host, ::RUBY_VERSION, settings)
      @journal = settings.stderr ? stderr_journal : Journal.new(settings.home)
    end

    def stderr_journal
      AutotaskAgent.load("stderr_journal")
      StderrJournal.new
    end

    def open_wire(settings)
      AutotaskAgent.load("dogstatsd")
      refused = @journal && @journal.method(:tell_unsent)
      @wire = Wire.new(settings.destination, settings, settings.events, refused)
    end

    def find_trigger
      AutotaskAgent.load("trigger")
      Trigger.find
    end
  end
end
