# frozen_string_literal: true

# The address of a host name, from /etc/hosts and name servers. Not by getaddrinfo(3): Ruby, up to
# 3.2, cannot interrupt it, so that the end of the program would wait for a server that is silent.
module AutotaskAgent
  module Names
    TRIES = 2 # for each server
    PATIENCE = 2.5 # seconds in which a server answers
    TYPES = { 1 => "C4", 28 => "n8" }.freeze # A and AAAA records: RFC 1035, 3596
    FLAGS = 0x0100 # recursion desired
    MOST = 512 # bytes of an answer

    # Return an address in numbers, or nil. The caller has loaded socket.so.
    def self.address_of(name, hosts = "/etc/hosts", settings = "/etc/resolv.conf", port = 53)
      in_hosts(name, hosts) || ask_servers(name, lines(settings), port)
    end

    def self.in_hosts(name, path)
      address, = lines(path).find { |_, *names| names.any? { |known| known.casecmp(name) == 0 } }
      address
    end

    # Ask for the name itself, and in the domains of the `search` line: see resolv.conf(5).
    def self.ask_servers(name, settings, port)
      servers = settings.select { |word, *| word == "nameserver" }.map { |_, server| server }
      servers = ["127.0.0.1"] if servers.empty?
      full_names(name, settings).each do |full|
        TYPES.each_key do |type|
          address = ask(servers, port, full, type)
          return address if address
        end
      end
      nil
    end

    def self.full_names(name, settings)
      return [name.chomp(".")] if name.end_with?(".")

      _, *domains = settings.reverse.find { |word, *| %w[search domain].include?(word) }
      dots = settings.flatten.join(" ")[/\bndots:(\d+)/, 1] || 1
      below = domains.map { |domain| "#{name}.#{domain.chomp(".")}" }
      name.count(".") >= dots.to_i ? [name, *below] : [*below, name]
    end

    # Return the first address that a server tells; nil if it tells none, or all are silent.
    def self.ask(servers, port, name, type)
      id = Random.urandom(2)
      labels = name.split(".").map { |label| [label.bytesize].pack("C") + label.b }.join("")
      question = "#{labels}\0".b + [type, 1].pack("n2")
      query = id + [FLAGS, 1, 0, 0, 0].pack("n5") + question
      (servers * TRIES).each do |server|
        answer = exchange(server, port, query)
        return read(answer, 12 + question.bytesize, type) if answer && answer.start_with?(id)
      end
      nil
    end

    def self.exchange(server, port, query)
      address = Addrinfo.getaddrinfo(server, port, nil, :DGRAM, nil, Socket::AI_NUMERICHOST).first
      socket = Socket.new(address.afamily, Socket::SOCK_DGRAM, 0)
      begin
        socket.connect(address.to_sockaddr)
        socket.write_nonblock(query)
        IO.select([socket], nil, nil, PATIENCE) && socket.recv(MOST)
      ensure
        socket.close
      end
    rescue SystemCallError, SocketError
      nil
    end

    # Read the records after the question: name, type, class, time to live, length, data.
    def self.read(answer, at, type)
      answer.unpack("x6n").first.to_i.times do
        at = after_name(answer, at)
        kind, _, _, length = answer.unpack("@#{at}nnNn")
        return text(answer.unpack("@#{at + 10}#{TYPES[type]}")) if kind == type

        at += 10 + length
      end
      nil
    rescue ArgumentError, TypeError # it ends too early
      nil
    end

    # A name is labels, each after its length, up to an empty one or a pointer of two bytes.
    def self.after_name(answer, at)
      until (length = answer.getbyte(at).to_i).zero?
        return at + 2 if length >= 0xC0

        at += 1 + length
      end
      at + 1
    end

    def self.text(numbers)
      numbers.length == 4 ? numbers.join(".") : numbers.map { |number| number.to_s(16) }.join(":")
    end

    # Return the words of each line.
    def self.lines(path)
      File.open(path, "rb", &:read).lines("\n").map { |line| line.sub(/[#;].*/m, "").split(" ") }
    rescue SystemCallError
      []
    end

    private_class_method :in_hosts, :ask_servers, :full_names, :ask, :exchange, :read, :after_name,
                         :text, :lines
  end
end
