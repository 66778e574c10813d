# frozen_string_literal: true

# What the journal does if the disk does not take a line: keep it, and write it with the next one.
module AutotaskAgent
  # Loaded with the first line that is refused.
  class Journal
    KEPT = 1 << 18 # bytes of lines kept that the disk did not take: about a thousand
    OWED = "-owed" # at the end of the name of a mark
    TOLD = "told-" # before it
    ENDED = "ended-"

    # Write a line after those that are owed.
    def append_owed(line, keep, ready)
      # A task in a trap handler may write before this call does: it must not write these, too.
      owed = @owed || ""
      @owed = ""
      data = owed + line
      begin
        written = ready ? write(data) : 0
      ensure
        @owed = owed + @owed if written.nil? # an exception of a trap handler
      end
      return keep_rest(data, written, keep, owed.bytesize) if written < data.bytesize

      @refused = nil
      show_owed
      true
    end

    # Keep what was not written; of the last line only if *keep*. Tell whether that was written.
    def keep_rest(data, written, keep, owed = 0)
      if keep && data.bytesize > KEPT
        keep = false
        @dropped = true
      end
      @owed = rest(data, written, keep ? data.bytesize : owed) + @owed.to_s
      show_owed
      written == data.bytesize - 1
    end

    # Write what is kept; tell whether nothing is owed. The caller is the only writer.
    def settle
      if @owes && ready?
        data = @owed
        @owed = ""
        begin
          written = write(data)
        ensure
          @owed = rest(data, written || 0, data.bytesize) + @owed
        end
      end
      !owes?
    end

    # Write what is kept, and remove the mark; or let it stay: the disk does not take all ends now
    # either.
    #
    # A process that finds it closes the runs, and sends their ends, unless the Agent has refused
    # nothing. The name says which, and that this process has ended.
    def give_up(has_refused)
      path = @mark
      @mark = nil
      has_all = settle
      return if path.nil?
      return File.unlink(path) if has_all

      folder, name = File.split(path)
      File.rename(path, "#{folder}/#{has_refused ? ENDED : TOLD}#{name}")
    end

    # Log once that lines are refused; return false.
    def refuse(problem)
      unless @refused
        AutotaskAgent.load("debuglog")
        DebugLog.write { "the journal does not take a line: #{problem.message}" }
      end
      @refused = true
      false
    end

    private

    # Return the lines up to *last* that were not written whole, after an end for what was cut.
    def rest(data, written, last)
      first = written.zero? ? 0 : (data.rindex("\n", written - 1) || -1) + 1
      return data[first...last] || "" if first == written

      first = written + 1 if data[written] == "\n" # only the end of the line was not written
      "\n#{data[first...last]}"
    end

    def owes?
      @dropped || !["", "\n"].include?(@owed)
    end

    # Remember whether the next line has to come here, too, and show in our mark's name whether
    # lines are missing, for when this process is killed.
    def show_owed
      @owes = @dropped || !@owed.empty?
      mark = @mark
      return if mark.nil? || owes? == mark.end_with?(OWED)

      @mark = owes? ? mark + OWED : mark.delete_suffix(OWED)
      begin
        File.rename(mark, @mark)
      rescue ::SystemCallError
        @mark = mark
      end
    end
  end
end
