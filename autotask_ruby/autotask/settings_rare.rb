# frozen_string_literal: true

# How Settings reads the variables that few processes have.
module AutotaskAgent
  # Texts are bytes in here: most methods of String raise at a byte that is not UTF-8.
  class Settings
    OFF = %w[0 false no off].freeze
    ON = %w[1 true yes on].freeze
    PORT = 8125
    # What AUTOTASK_FRAMEWORKS may name: what the Python half knows, too.
    FRAMEWORKS = %w[
      all function process click asyncclick typer argparse docopt fire cyclopts cleo cliff django
      invoke doit nox rq huey celery dramatiq arq procrastinate django_q apscheduler schedule luigi
      dbt scrapy airflow rake thor
    ].freeze
    # What Python's strip and split remove.
    BLANK = /(?:[\t-\r\x1c- ]|\xc2[\x85\xa0]|\xe1\x9a\x80|\xe2\x80[\x80-\x8a\xa8\xa9\xaf]|\xe2\x81\x9f|\xe3\x80\x80)/n
    FIRST_BLANKS = /\A#{BLANK}+/n
    LAST_BLANKS = /(?<![\t-\r\x1c- ])#{BLANK}+\z/n # without the first part slow for very long texts
    private_constant :BLANK, :FIRST_BLANKS, :LAST_BLANKS

    # Read all variables but that of the home.
    def read(environ)
      @problems = []
      @environ = environ
      @enabled = switch("AUTOTASK_ENABLED")
      @name = utf8(value("AUTOTASK_NAME"))
      @journal = switch("AUTOTASK_JOURNAL")
      @dogstatsd = switch("AUTOTASK_DOGSTATSD") && !ON.include?(word("DD_DOGSTATSD_DISABLE"))
      @events = switch("AUTOTASK_EVENTS")
      @messages = switch("AUTOTASK_MESSAGES")
      @debug = debug_log
      @process = process_runs
      @destination = agent
      @entity_id = entity
      read_tags
      @only, @without = frameworks
      @ignored = list("AUTOTASK_IGNORE")
      @last = [nil, false] # a task, and whether it is ignored
    end

    # Return the home if it is not the usual place, named by an absolute path or below $HOME.
    def other_home(environ)
      home = environ["AUTOTASK_HOME"].to_s
      return absolute(home) unless home.empty?

      state = environ["XDG_STATE_HOME"].to_s
      return File.join(state, "autotask") if state.start_with?("/")

      user = environ["HOME"].to_s
      user = user_folder(::Process.uid) if user.empty?
      File.join(user, ".local/state/autotask") if user
    end

    private

    def matches?(task)
      last = @last
      if last[0] != task
        AutotaskAgent.load("globs")
        @last = last = [task.dup, @ignored.any? { |glob| Globs.match?(glob, task) }]
      end
      last[1]
    end

    # Return a variable's bytes; nil if it is unset or empty.
    def value(name)
      text = @environ[name]
      return if text.nil? || text.empty?

      text = text.encode(::Encoding::UTF_8) unless text.ascii_only? || text.encoding == ::Encoding::US_ASCII
      text.b
    rescue ::EncodingError
      text.b
    end

    # Return a variable without blanks around it, in small letters; empty if it is unset.
    def word(name)
      text = value(name)
      text ? lower(strip(text)) : ""
    end

    # Return the items of a list.
    def list(name)
      text = value(name)
      text ? text.split(",").map { |item| strip(item) }.reject(&:empty?) : []
    end

    # Read a switch; a value that is neither on nor off counts as unset.
    def switch(name)
      text = word(name)
      return true if text.empty? || ON.include?(text)
      return false if OFF.include?(text)

      if text == "stderr" && name == "AUTOTASK_JOURNAL"
        @stderr = true
        return false
      end
      problem(name, text, "neither 0 nor 1")
      true
    end

    # Return `1` for standard error, a file's path, or nil.
    def debug_log
      text = word("AUTOTASK_DEBUG")
      return if text.empty? || OFF.include?(text)

      ON.include?(text) ? "1" : utf8(strip(value("AUTOTASK_DEBUG")))
    end

    def process_runs
      text = word("AUTOTASK_PROCESS")
      return "1" if ON.include?(text)
      return "0" if OFF.include?(text)

      problem("AUTOTASK_PROCESS", text, "not auto, 1 or 0") unless ["", "auto"].include?(text)
      "auto"
    end

    # Return the frameworks asked for (empty: all) and those excluded.
    def frameworks
      items = list("AUTOTASK_FRAMEWORKS").map { |item| lower(item) }
      return [[], []] if items.empty?

      unless plugins?
        known, unknown = items.partition { |item| FRAMEWORKS.include?(item.delete_prefix("-")) }
        unknown.each { |item| problem("AUTOTASK_FRAMEWORKS", item, "not a framework") }
        items = known
      end
      without, only = items.partition { |item| item.start_with?("-") }
      [only - ["all"], without.map { |item| item[1..-1] }]
    end

    # Tell whether there are plugins, whose frameworks may have any name.
    def plugins?
      list("AUTOTASK_PLUGINS").any? { |item| /\A[\w.]+=[\w.]+:\w+\z/.match?(item) }
    end

    # Return what the Agent finds a container by; it may hold nothing that would end a tag.
    def entity
      text = value("DD_ENTITY_ID")
      return utf8(text) if text.nil? || (text.ascii_only? && text.count(",|#\n").zero?)

      problem("DD_ENTITY_ID", text, "not an id")
      nil
    end

    def read_tags
      @tags = all_tags
      @env = utf8(value("DD_ENV")) || @tags["env"]
      @service = utf8(value("DD_SERVICE")) || @tags["service"]
      @version = utf8(value("DD_VERSION")) || @tags["version"]
      %w[env service version].each { |key| @tags.delete(key) }
      @tagged = [@env, @service, @version, @entity_id].any? || !@tags.empty?
    end

    # Join DD_TAGS (commas or spaces between them) and AUTOTASK_TAGS, which wins.
    #
    # A word of DD_TAGS without a colon is a tag as well: a key with no value.
    def all_tags
      datadogs = (value("DD_TAGS") || "").tr(",", " ").split(BLANK).reject(&:empty?)
      (datadogs + list("AUTOTASK_TAGS")).each_with_object({}) do |item, tags|
        key, _, value = item.partition(":")
        if !key.empty? && !value.empty?
          tags[utf8(strip(key))] = utf8(strip(value))
        elsif !datadogs.include?(item)
          problem("AUTOTASK_TAGS", item, "not key:value")
        elsif !key.empty?
          tags[utf8(key)] = ""
        end
      end
    end

    # Return ["udp", host, port] or ["unix", path, 0]; nil if no variable says it.
    def agent
      url = value("DD_DOGSTATSD_URL")
      if url
        parsed = parsed_url(url)
        return parsed if parsed

        problem("DD_DOGSTATSD_URL", url, "neither udp:// nor unix://")
      end
      host = value("DD_AGENT_HOST")
      port = value("DD_DOGSTATSD_PORT")
      return unless host || port

      number = port ? parsed_port(port) : PORT
      problem("DD_DOGSTATSD_PORT", port, "not a port") unless number
      ["udp", utf8(host) || "localhost", number || PORT]
    end

    def parsed_url(url)
      scheme, _, rest = url.partition("://")
      return if rest.empty?
      return ["unix", utf8(rest), 0] if %w[unix unixgram].include?(scheme)
      return unless scheme == "udp"

      rest = rest.sub(%r{(?<!/)/+\z}, "")
      host, colon, port = rest.rpartition(":")
      host, port = rest, PORT.to_s if colon.empty? || port.end_with?("]") # [::1] is a host alone
      number = parsed_port(port)
      host = host.gsub(/\A[\[\]]+|[\[\]]+\z/, "") # of an address of IPv6
      ["udp", utf8(host), number] unless host.empty? || number.nil?
    end

    def parsed_port(text)
      number = /\A[0-9]{1,5}\z/.match?(text) ? text.to_i : 0
      number if number.between?(1, 65_535)
    end

    # In a crontab or an image no shell has expanded a `~`.
    def absolute(path)
      return File.absolute_path(path) unless path.start_with?("~")

      begin
        File.expand_path(path)
      rescue ::ArgumentError # no such user
        File.absolute_path(path)
      end
    end

    # Ask for a user's folder as the shell does if HOME is not set.
    def user_folder(uid)
      AutotaskAgent.load("homes")
      Homes.of_user(uid)
    end

    def problem(name, text, what)
      AutotaskAgent.load("globs")
      @problems << "#{name}: #{Globs.repr(text)} is #{what}"
    end

    def utf8(bytes)
      bytes && bytes.force_encoding(::Encoding::UTF_8)
    end

    def lower(bytes)
      letters = utf8(bytes.dup).each_char
      letters.map { |letter| letter.valid_encoding? ? letter.downcase : letter }.join("").b
    end

    # Remove the blanks around a text, Unicode's too.
    def strip(bytes)
      bytes.sub(FIRST_BLANKS, "").sub(LAST_BLANKS, "")
    end
  end
end
