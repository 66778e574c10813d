# frozen_string_literal: true

# What the journal does if a folder or file is not as usual: missing, shared, another user's.
module AutotaskAgent
  # Loaded by the first process of all, and by those that meet such a thing.
  class Journal
    RETRY = 60.0 # seconds before another search for a home, if this one fails as before

    # Open a folder that could not be opened; if that is the journal's, find out where it is.
    def other_folder(name, problem)
      AutotaskAgent.load("homes")
      return Homes.marks_folder(@home) if name == "open"

      clock = CLOCK.call(::Process::CLOCK_MONOTONIC)
      kind, till = @hopeless
      raise problem if problem.class == kind && clock < till # a search takes a hundred system calls

      @hopeless = [problem.class, clock + RETRY]
      # After the first line no other home will do: its reader looks for the end beside it.
      @home, @mode = Homes.settle(@home, !@hour.nil?)
      @hopeless = nil
      @folder = "#{@home}/journal"
      Homes.open_folder(@home, "journal")
    end

    # Return the file that was opened as a segment, if it is this user's regular file.
    #
    # Its descriptor is above 2: if 0, 1 and 2 are closed, they are still the program's.
    def checked(file, status)
      unless status.file? && status.owned?
        file.close
        raise ::Errno::EEXIST, "not a file of this user"
      end
      set_mode(file) if status.size.zero? && status.mode & 0o777 != @mode
      limit = ::Process.getrlimit(:FSIZE)[0]
      extend(Limited) unless limit == ::Process::RLIM_INFINITY
      return file if file.fileno > 2

      above = file.dup # takes a descriptor above them
      file.close
      above
    end

    # Set the mode of a new segment, which an odd umask has kept from it.
    def set_mode(file)
      file.chmod(@mode)
    rescue ::SystemCallError
      nil
    end

    # Writes no more to a file than the limit of this process (`ulimit -f`) allows: at the byte behind
    # it, SIGXFSZ would kill the program. Python ignores that signal.
    module Limited
      private

      def write(data, file = @file)
        return super if file.stat.size + data.bytesize <= ::Process.getrlimit(:FSIZE)[0]

        rare("full_disk").refuse(::Errno::EFBIG.new(file.path))
        0
      rescue ::SystemCallError, ::IOError
        0
      end
    end

    # Without /proc we make do with the folder's own path.
    unless File.directory?("/proc/self/fd")
      remove_method :inside

      def inside(folder, name)
        "#{folder.path}/#{name}"
      end
    end
  end
end
