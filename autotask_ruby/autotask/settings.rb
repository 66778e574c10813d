# frozen_string_literal: true

# Every setting, in one place: no other file reads them from the environment.
module AutotaskAgent
  # What the environment asks for, read once. A bad value counts as unset and is noted in `problems`;
  # it never stops a task. Variables that few processes have are read by settings_rare.rb.
  class Settings
    PARENT = "AUTOTASK_PARENT" # run:root:trigger of the current run; empty if there is none
    PROCESS_RUN = "AUTOTASK_PROCESS_RUN" # run:pid, from a launcher to the process that it starts

    SOCKET = "/var/run/datadog/dsd.socket" # the Agent's
    PARENT_VALUE = /\A([0-9a-f]{16}):([0-9a-f]{16}):([a-zA-Z]+)\z/
    RARE = %w[
      AUTOTASK_DEBUG AUTOTASK_DOGSTATSD AUTOTASK_ENABLED AUTOTASK_EVENTS AUTOTASK_FRAMEWORKS
      AUTOTASK_IGNORE AUTOTASK_JOURNAL AUTOTASK_MESSAGES AUTOTASK_NAME AUTOTASK_PROCESS
      AUTOTASK_TAGS DD_AGENT_HOST DD_DOGSTATSD_DISABLE DD_DOGSTATSD_PORT DD_DOGSTATSD_URL
      DD_ENTITY_ID DD_ENV DD_SERVICE DD_TAGS DD_VERSION
    ]

    attr_reader :problems, :enabled, :home, :name, :stderr, :journal, :dogstatsd, :events,
                :messages, :debug, :process, :destination, :entity_id, :tags, :env, :service,
                :version, :tagged # whether there is any of the five before it

    # Return the run and root under which new runs hang, and their trigger; [] if there are none.
    #
    # A value that we cannot have written is ignored: it would get into the journal.
    def self.parent_of(environ)
      PARENT_VALUE.match(environ[PARENT].to_s.b).to_a.drop(1)
    end

    def initialize(environ = ::ENV)
      @enabled = @journal = @dogstatsd = @events = @messages = true
      @stderr = @tagged = false # the first is AUTOTASK_JOURNAL=stderr: no file, but standard error
      @process = "auto"
      @problems = @only = @without = @ignored = []
      @tags = {}
      @home = found_home(environ)
      rare.read(environ) if RARE.any? { |name| environ[name] }
      @destination ||= File.exist?(SOCKET) ? ["unix", SOCKET, 0] : ["udp", "localhost", 8125]
    end

    # Tell whether runs of a framework are recorded.
    def uses?(framework)
      (@only.empty? || @only.include?(framework)) && !@without.include?(framework)
    end

    # Tell whether a task's name matches AUTOTASK_IGNORE.
    def ignores?(task)
      !@ignored.empty? && matches?(task)
    end

    private

    # Return the absolute path of the home; nil if no home directory of the user is known.
    def found_home(environ)
      home = environ["AUTOTASK_HOME"].to_s
      return File.absolute_path(home) if home.start_with?("/")

      user = environ["HOME"].to_s
      is_usual = user.start_with?("/") && home.empty? && !environ["XDG_STATE_HOME"]
      is_usual ? File.join(user, ".local/state/autotask") : rare.other_home(environ)
    end

    def rare
      AutotaskAgent.load("settings_rare")
      self
    end
  end
end
