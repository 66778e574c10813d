# frozen_string_literal: true

# The journal: append one line, which is there whatever kills the process afterwards.
module AutotaskAgent
  # The segments of one home, open for appending. A segment is the file of one UTC hour. A line is
  # one write(2) with O_APPEND: no lock, no fsync, safe with a thousand writers. What few processes
  # need of it is in journal_rare.rb and full_disk.rb.
  class Journal
    CLOCK = ::Process.method(:clock_gettime) # as it was before the program could replace it
    SAFE = File::NOFOLLOW | File::NONBLOCK # else a FIFO blocks us until it is written or read
    # O_PATH: a folder need not be readable. It opens a link itself, in which nothing is found.
    HOME = 0o10000000 | File::NOFOLLOW
    WRITE = File::WRONLY | File::APPEND | File::CREAT | SAFE

    attr_reader :home, :folder # the home becomes another one if this one cannot be written
    attr_accessor :mark # the path of our process's mark

    def initialize(home)
      @home = home
      @folder = "#{home}/journal"
      @mode = 0o600
      @lock = ::Mutex.new
      @mark = @file = @identity = @hour = @owes = @owed = @dropped = @refused = @hopeless = nil
    end

    # Write one line (ASCII, without its end); false if the disk does not take it.
    #
    # With *keep* the line is then kept, and written with the next one. The block is called
    # immediately before, when no other thread can come between; if it returns a false value, no
    # line is written, and the result is nil.
    def append(line, keep = true)
      locked = lock
      ready = ready?
      return if block_given? && !yield

      line += "\n"
      return rare("full_disk").append_owed(line, keep, ready) if @owes || !ready

      written = write(line)
      written == line.bytesize || rare("full_disk").keep_rest(line, written, keep)
    ensure
      locked.unlock if locked
    end

    # Journal that the Agent has not taken what was sent of a run: `started` or `finished`.
    def tell_unsent(run, which)
      append(Lines.delivery("unsent", run.id, run.root, which))
    end

    # Close the file; the next line opens it again.
    def close
      if names
        @file.autoclose = true # without it, this would leave the descriptor open
        @file.close
      end
      @identity = nil
    end

    # Leave a mark for those who find this process dead: before the line of its first run. If it
    # cannot be written there is none; on a full disk it may be empty.
    def leave_mark(name, identity, pid, host, root)
      return unless ready? # first: this finds out which home can be written

      folder = open_folder("open")
      path = "#{@home}/open/#{name}"
      file = File.new(inside(folder, name), WRITE | File::EXCL, 0o600)
      @mark = path
      write(%({"process":#{Lines.quoted(identity)},"pid":#{pid},"host":#{Lines.quoted(host)},"root":"#{root}",) +
            %("segment":"#{Lines.segment(@hour * 3600)}","offset":#{@file.stat.size}}\n), file)
    rescue ::SystemCallError => problem
      @mark = path if problem.is_a?(::Errno::EEXIST) # the launcher has left it
    ensure
      file.close if file
      folder.close if folder
    end

    # Write the lines that the disk has not taken so far, and remove the mark.
    def take_mark_back(has_refused)
      return rare("full_disk").give_up(has_refused) if @owes

      mark = @mark
      @mark = nil
      File.unlink(mark) if mark
    end

    private

    # Return the lock, against another thread that closes the file between the check and the write;
    # nil in a trap handler, which may have interrupted our own call, and may not wait.
    def lock
      @lock.lock
    rescue ::ThreadError
      nil
    end

    # Tell whether the segment of this hour is open, or could be opened.
    def ready?
      hour = CLOCK.call(::Process::CLOCK_REALTIME).to_i / 3600 # not Time.now, which tests stop
      open_segment(hour) unless hour == @hour && names.to_i > 0
      true
    rescue ::SystemCallError => problem
      rare("full_disk").refuse(problem)
    end

    # Write as much as the disk takes; return how many bytes. Not `syswrite`: that lets other
    # threads run, and one that computes would keep us waiting for 0.1 s.
    def write(data, file = @file)
      file.write_nonblock(data)
    rescue ::SystemCallError, ::IOError => problem
      rare("full_disk").refuse(problem)
      0
    end

    # Return how many names our file has; 0 if it was removed. nil if the descriptor is another
    # file's: a program that closes them all may have reused it.
    def names
      status = @file.stat if @identity
      status.nlink if status && @identity == [status.dev, status.ino]
    rescue ::SystemCallError, ::IOError
      nil
    end

    def open_segment(hour)
      close
      folder = open_folder("journal")
      file = File.new(inside(folder, Lines.segment(hour * 3600)), WRITE, @mode)
      status = file.stat
      as_usual = status.mode == 0o100000 | @mode && status.owned? && file.fileno > 2 &&
                 ::Process.getrlimit(:FSIZE)[0] == ::Process::RLIM_INFINITY
      file = rare("journal_rare").checked(file, status) unless as_usual
      file.autoclose = false # the descriptor may become another file's
      @file = file
      @identity = [status.dev, status.ino]
      @hour = hour
    ensure
      folder.close if folder
    end

    # Open a folder in the home, which must be this user's own, and no link: it could be replaced.
    def open_folder(name)
      File.open(@home, HOME) do |home|
        folder = File.new(inside(home, name), SAFE)
        status = folder.stat
        raise ::Errno::EACCES, folder.path unless status.directory? && status.owned?

        folder
      end
    rescue ::SystemCallError => problem
      rare("journal_rare").other_folder(name, problem)
    end

    # Return the path of what is in an open folder, whatever the folder's own path leads to
    # meanwhile: Ruby has no openat(2).
    def inside(folder, name)
      "/proc/self/fd/#{folder.fileno}/#{name}"
    end

    def rare(file)
      AutotaskAgent.load(file)
      self
    end
  end
end
