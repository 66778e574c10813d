# frozen_string_literal: true

# What few processes need of the wire: tags of their own, failures, large datagrams, an Agent that is
# elsewhere or has a socket file.
module AutotaskAgent
  # See dogstatsd.rb.
  class Wire
    BUFFER = 8192 # bytes that the Agent reads at once, by both ways in
    TAG_LENGTH = 200
    MOST_TAGS = 5000 # bytes of a process's tags: a line with more would not fit the Agent's buffer
    WAITING = 1000 # datagrams kept while a host name is being resolved
    UNKNOWN = 10.0 # seconds after which a host name that was not known is looked up again
    ODD = %r{[^a-z0-9_\-:./]}.freeze

    private

    def process_tags(settings)
      tags = [["env", settings.env], ["service", settings.service], ["version", settings.version]]
      tags.reject! { |_, text| text.nil? || text.empty? }
      tags.map! { |key, text| odd_tag(key, text) }
      tags << "dd.internal.entity_id:#{settings.entity_id}" if settings.entity_id
      tags.concat(settings.tags.map { |key, text| odd_tag(key, text) })
      text = tags.map { |tag| ",#{tag}" }.join("")
      return text if text.bytesize <= MOST_TAGS

      text.byteslice(0, MOST_TAGS).scrub("").rpartition(",")[0]
    end

    def odd_tag(key, text)
      if key.ascii_only? && text.ascii_only?
        tag = "#{key}:#{text}".downcase.gsub(ODD, "_")
      else
        AutotaskAgent.load("letters")
        tag = Letters.of_tag(key, text)
      end
      tag[0, TAG_LENGTH].sub(/:+\z/, "")
    end

    def other_end_lines(run, ending, host)
      outcome = ending.outcome
      of_task = task_tags(run)
      status = "#{of_task},status:#{outcome.status}"
      reason = "reason:#{outcome.reason || "none"}"
      lines = ["autotask.task.runs:1|c|##{status},#{reason},trigger:#{run.trigger}#{@tags}"]
      if ending.duration && outcome.status != "skipped"
        duration = format("%.6f", ending.duration)
        lines << "autotask.task.duration:#{duration}|d|##{status}#{@tags}"
      end
      if outcome.status == "failure" && outcome.reason != "nested"
        AutotaskAgent.load("messages")
        lines << check(run, outcome) unless run.bookkeeping # no success would clear it
        tags = "#{of_task},#{reason}#{@tags}"
        lines << Messages.event(run.task, tags, ending, host, size) if @events
      end
      lines
    end

    def check(run, outcome)
      check = "_sc|autotask.task.status|2|##{task_tags(run)},trigger:#{run.trigger}#{@tags}|m:"
      check + Messages.check(outcome, size - check.bytesize - 1)
    end

    # Send lines in as few datagrams as hold them; if the first one is lost, all count so.
    def send_parts(lines, run, which)
      packet = +""
      lines.each do |line|
        if !packet.empty? && packet.bytesize + line.bytesize + 1 > size
          send_packet(packet, run, which)
          packet = +""
          which = nil
        end
        packet << line << "\n"
      end
      send_packet(packet, run, which)
    end

    # Return how many bytes a datagram may have.
    def size
      here = %w[localhost ::1].include?(@host) || @host.start_with?("127.")
      here || @family == "unix" ? BUFFER : UDP_SIZE
    end

    # Send a datagram to an Agent that is not near, or keep it until its name is resolved.
    def reach(packet, run, which)
      return take(packet, run, which) if find_address

      @waiting ||= []
      return false if @waiting.size >= WAITING

      @waiting << [packet, run, which]
      true
    rescue ::LoadError, ::SocketError, ::ArgumentError # the last: a path that is too long
      refuse
    end

    # Find where to send; a thread resolves the name of a host, so that no task waits.
    def find_address
      require "socket.so"
      if @family == "unix"
        self.address = ::Addrinfo.unix(@host, ::Socket::SOCK_DGRAM)
      elsif @host.delete(".").match?(/\A\d+\z/) || @host.include?(":")
        self.address = address_of(@host)
      elsif @waiting.nil? # none before this one: nothing is being resolved
        look_up
      end
      @address
    end

    def address=(address)
      @family_number = address.afamily
      here = address.ip? && address.ip_address.start_with?("127.", "::1")
      @answers = here ? [::Socket::SOL_SOCKET, ::Socket::SO_ERROR] : nil
      @address = address.to_sockaddr
    end

    # Return the address that a numeric host is.
    def address_of(host)
      numeric = ::Socket::AI_NUMERICHOST
      ::Addrinfo.getaddrinfo(host, @port, nil, ::Socket::SOCK_DGRAM, nil, numeric).first
    end

    # A new thread inherits the guard's mask. Without it, the end of the program can end this one.
    def look_up
      ::Thread.new do
        address = ::Thread.handle_interrupt(::Object => :immediate) { found_address }
        AutotaskAgent.guarded("Wire#found") { found(address) }
      end
    rescue ::ThreadError # no more threads are allowed: as with a name that does not resolve
      nil
    end

    def found_address
      AutotaskAgent.load("names")
      numbers = Names.address_of(@host)
      numbers && address_of(numbers)
    rescue ::StandardError => problem
      AutotaskAgent.guarded("Wire#found_address") { raise problem }
    end

    def found(address)
      lost = alone do
        waiting = @waiting || []
        @waiting = nil
        if address
          self.address = address
          waiting.reject { |packet, *about| take(packet, *about) }
        else
          @paused = now + UNKNOWN
          waiting
        end
      end
      lost.each { |_, *about| lose(*about) }
    end

    def lose_waiting
      waiting = @waiting
      @waiting = nil
      waiting.each { |_, *about| lose(*about) }
    end

    # An Agent that was restarted has made another socket file. Over UDP the kernel gives the answer
    # to an earlier datagram.
    def take_anew(packet, problem)
      close_socket
      problem.is_a?(::Errno::ECONNREFUSED) ? take(packet, nil, nil) : refuse
    end
  end
end
