# frozen_string_literal: true

# The wire: DogStatsD datagrams, never waited for; as autotask/dogstatsd.py.
module AutotaskAgent
  # The way to a Datadog Agent, for runs that have the same tags. What is not needed for successes
  # told to an Agent on this machine, or refused by it, is in dogstatsd_rare.rb.
  #
  # *refused* is called, at once or later, with each run of which `started` or `finished` is known
  # to be lost, and with which of the two it is.
  class Wire
    UDP_SIZE = 1432 # bytes of a datagram that fit an Ethernet frame
    PAUSE = 0.1 # seconds in which nothing is tried after a refusal: each try costs
    PLAIN = %r{\A[a-z0-9_\-:./]{1,200}(?<!:)\z}.freeze # a tag as Datadog keeps it
    CLOCK = ::Process.method(:clock_gettime) # as it was before the program could replace it

    attr_reader :has_refused

    def initialize(destination, settings, events = true, refused = nil)
      @family, @host, @port = destination
      @events = events
      @refused = refused
      @lock = ::Mutex.new # threads share the socket
      @has_refused = false
      @answers = nil # how to ask the kernel whether anything listens on this machine
      @address = @socket = @identity = @waiting = @paused = nil
      @last = [] # task, framework, their tags: one value, for threads
      @tags = settings.tagged ? rare(:process_tags, settings) : "" # of each line, after its own
    end

    # Tell whether the Agent was away a moment ago, and nothing is to be sent.
    def paused?
      @paused ? now < @paused : false
    end

    # Count a start.
    def started(run)
      send_lines(start_lines(run), run, "started")
    end

    # Send all lines of one end.
    def finished(run, ending, host)
      send_lines(end_lines(run, ending, host), run, "finished")
    end

    # Write the lines of one start: the count is the first.
    def start_lines(run)
      ["autotask.task.started:1|c|##{task_tags(run)},trigger:#{run.trigger}#{@tags}"]
    end

    # Write the lines of one end: the count is the first.
    def end_lines(run, ending, host)
      return rare(:other_end_lines, run, ending, host) if ending.outcome.status != "success"

      tags = task_tags(run)
      trigger = "trigger:#{run.trigger}#{@tags}"
      duration = format("%.6f", ending.duration)
      ["autotask.task.runs:1|c|##{tags},status:success,reason:none,#{trigger}",
       "autotask.task.duration:#{duration}|d|##{tags},status:success#{@tags}",
       "_sc|autotask.task.status|0|##{tags},#{trigger}"]
    end

    # Close the socket, and give up what waits for an address; a further line opens another.
    def close
      alone { close_socket }
      give_up
    end

    # Count as lost what still waits for an address.
    def give_up
      rare(:lose_waiting) if @waiting
    end

    private

    def rare(method, *arguments)
      AutotaskAgent.load("dogstatsd_rare")
      __send__(method, *arguments)
    end

    # Write the tags of a task, which mostly is the one that was written last.
    def task_tags(run)
      last = @last
      return last[2] if last[0] == run.task && last[1] == run.framework

      tags = "#{tag("task", run.task)},#{tag("framework", run.framework)}"
      @last = [run.task.dup, run.framework, tags]
      tags
    end

    # Write a tag as Datadog keeps it: lower case, odd characters as `_`, 200 characters.
    def tag(key, value)
      text = "#{key}:#{value}".downcase if value.ascii_only?
      text && PLAIN.match?(text) ? text : rare(:odd_tag, key, value)
    end

    # Send lines in one datagram, or in few. Each line has an end: with `dogstatsd_eol_required` the
    # Agent drops one that has none.
    def send_lines(lines, run, which)
      packet = "#{lines.join("\n")}\n"
      return rare(:send_parts, lines, run, which) if packet.bytesize > UDP_SIZE

      send_packet(packet, run, which)
    end

    def send_packet(packet, run, which)
      lose(run, which) unless alone { take(packet, run, which) }
    end

    # Run the block with the lock, or without it if this thread cannot wait for it: in a trap, which
    # may have interrupted the holder.
    def alone
      locked = begin
        @lock.lock
      rescue ::ThreadError
        nil
      end
      yield
    ensure
      @lock.unlock if locked
    end

    # Send a datagram, or keep it until there is an address; false if it is known to be lost.
    def take(packet, run, which)
      return rare(:reach, packet, run, which) unless @address || near?

      kept = @socket && still_ours?
      open_socket unless kept
      taken = @socket.write_nonblock(packet, exception: false)
      return refuse if @answers && @socket.getsockopt(*@answers).int != 0

      taken != :wait_writable # its buffer is full: the next one may find room
    rescue ::SystemCallError => problem
      kept ? rare(:take_anew, packet, problem) : refuse
    end

    # Tell whether the Agent is on this machine, by its usual name.
    def near?
      return unless @family == "udp" && @host == "localhost"

      require "socket.so" # not `socket`, which costs four times as much
      @family_number = ::Socket::AF_INET
      @answers = ::Socket::SOL_SOCKET, ::Socket::SO_ERROR
      @address = ::Socket.sockaddr_in(@port, "127.0.0.1")
    end

    # Ruby never gives out the descriptors 0 to 2, so this one is above them. Without autoclose a
    # forked child's collector closes nothing that has this number there.
    def open_socket
      @socket = ::Socket.new(@family_number, ::Socket::SOCK_DGRAM, 0)
      @socket.autoclose = false
      status = @socket.stat
      @identity = [status.dev, status.ino]
      @socket.connect(@address)
    end

    # Tell whether the descriptor is the socket: the program may have closed and reused it.
    def still_ours?
      status = @socket.stat
      @identity == [status.dev, status.ino]
    rescue ::SystemCallError, ::IOError
      false
    end

    def refuse
      @paused = now + PAUSE
      close_socket
      false
    end

    def close_socket
      if @socket && still_ours?
        @socket.autoclose = true # without it, the descriptor would stay open
        @socket.close
      end
      @socket = nil
    end

    # Note that a datagram is lost; without the lock, because noting it takes the journal's.
    def lose(run, which)
      @has_refused = true
      @refused.call(run, which) if @refused && which
    end

    def now
      CLOCK.call(::Process::CLOCK_MONOTONIC)
    end
  end
end
