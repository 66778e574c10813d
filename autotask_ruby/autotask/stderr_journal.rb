# frozen_string_literal: true

# AUTOTASK_JOURNAL=stderr: no file, but a JSON line on standard error for each run that has ended.
module AutotaskAgent
  # Takes the lines of a journal, and writes one line for each run when it ends: the record that
  # `autotask runs --format jsonl` would print. autotask/stderr_journal.py makes the same.
  class StderrJournal < Journal
    ATOMIC = 4096 # bytes that a pipe takes as a whole or not at all (PIPE_BUF)
    EVENT = /\A\{"event":"(started|finished)","run":"(.{16})"/.freeze
    UNSENT = ',"unsent":true'
    HOST = '"host":'
    # The record's fields that a line leaves out if they are not known.
    OF_START = %w[python ruby service env version attempt waited enqueued_by].freeze
    OF_END = %w[reason caused_by exit_code signal error duration cpu max_rss output].freeze
    OF_ERROR = %w[type message where].freeze

    def initialize
      super("")
      @starts = {} # lines, by run
    end

    # Remember the start of a run, and write the record at its end; drop all other lines.
    def append(line, keep = true, &claim)
      event, run = EVENT.match(line).to_a.drop(1)
      start = @starts.delete(run) if event == "finished"
      return super(StderrJournal.record(start, line), keep, &claim) if start
      return if claim && !claim.call

      @starts[run] = line if event == "started"
      true
    end

    # A mark leads to a file. There is none.
    def leave_mark(*); end

    # Join the two lines of a run to its record. They are not decoded: a quote inside a JSON string has
    # a backslash before it, so that all that looks like a field's name is one.
    def self.record(started, finished)
      start, ending = [started, finished].map { |line| line[1...-1].delete_suffix(UNSENT) }
      start = start.partition(",")[2].sub(',"at":', ',"started_at":')
      before, _, behind = start.partition('"process":')
      start, _, tags = "#{before}#{HOST}#{behind.partition(HOST)[2]}".partition(',"tags":')
      ending, failed, error = ending.partition(',"at":')[2].partition(',"error":{')
      unless failed.empty?
        missing = OF_ERROR.reject { |name| error.include?(%("#{name}":)) }
        ending += "#{failed}#{missing.map { |name| %("#{name}":null,) }.join("")}#{error}"
      end
      %w[server bookkeeping].each { |flag| start += %(,"#{flag}":false) unless start.include?(%(,"#{flag}":)) }
      fields = [start, *nulls(start, OF_START), %("tags":#{tags.empty? ? "{}" : tags})]
      "{#{[*fields, %("finished_at":#{ending}), *nulls(ending, OF_END)].join(",")}}"
    end

    def self.nulls(fields, names)
      names.reject { |name| fields.include?(%(,"#{name}":)) }.map { |name| %("#{name}":null) }
    end
    private_class_method :nulls

    private

    # Tell whether standard error takes a line at once. Ruby never closes descriptor 2.
    def ready?
      @file ||= opened
      room?
    rescue ::SystemCallError, ::IOError => problem
      rare("full_disk").refuse(problem)
    end

    def opened
      file = ::IO.for_fd(2, autoclose: false)
      is_limited = file.stat.file? && ::Process.getrlimit(:FSIZE)[0] != ::Process::RLIM_INFINITY
      rare("journal_rare").extend(Limited) if is_limited
      file
    end

    # A pipe whose reader has gone counts as readable, too. To write to it would send SIGPIPE.
    def room?
      readable, writable = ::IO.select([@file], [@file], nil, 0)
      !writable.to_a.empty? && !(readable.any? && @file.stat.pipe?)
    end

    # Not `write_nonblock`, which would change the program's standard error.
    def write(data, file = @file)
      written = 0
      while written < data.bytesize && (written.zero? || room?)
        written += file.syswrite(data.byteslice(written, ATOMIC))
      end
      written
    rescue ::SystemCallError, ::IOError => problem
      rare("full_disk").refuse(problem)
      written
    end
  end
end
