# frozen_string_literal: true

# What started this process: a terminal, cron, systemd, Kubernetes, a container, a CI system; as
# autotask/trigger.py. Its caller has loaded procfs.
module AutotaskAgent
  module Trigger
    CI = %w[CI BUILD_ID TF_BUILD TEAMCITY_VERSION JENKINS_URL].freeze
    CRONS = %w[cron crond anacron fcron supercronic].freeze
    LEVELS = 5 # ancestors looked at: cron, its child, a shell, a script, autotask-run
    # Set by Podman, systemd-nspawn and LXC; Nomad; Amazon ECS.
    CONTAINER = %w[
      container NOMAD_ALLOC_ID ECS_CONTAINER_METADATA_URI_V4 ECS_CONTAINER_METADATA_URI
    ].freeze

    class << self
      # Return the contract's word for what started this process.
      def find
        return "ci" if CI.any? { |name| set?(name) && !ENVIRON[name].b.match?(/\A(?:0|false)\z/i) }

        terminal = [::STDIN, ::STDOUT, ::STDERR].find { |io| !io.closed? && io.tty? }
        return in_pod(terminal) if set?("KUBERNETES_SERVICE_HOST")
        return "terminal" if terminal
        return "cron" if below_cron?
        return "systemd" if set?("INVOCATION_ID")

        in_container = ::FileTest.exist?("/.dockerenv") || CONTAINER.any? { |name| ENVIRON[name] }
        in_container ? "container" : "unknown"
      end

      private

      def set?(name)
        !ENVIRON[name].to_s.empty?
      end

      def in_pod(terminal)
        AutotaskAgent.load("pods") if terminal
        terminal && !Pods.console?(terminal) ? "terminal" : "kubernetes"
      end

      def below_cron?
        pid = ::Process.ppid
        LEVELS.times do
          stat = Procfs.read("/proc/#{pid}/stat")
          return false if stat.empty?
          return true if CRONS.include?(stat[/\((.*)\)/m, 1].downcase)

          pid = stat.rpartition(")")[2].split(" ")[1]
        end
        false
      end
    end
  end
end
