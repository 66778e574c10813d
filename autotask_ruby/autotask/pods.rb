# frozen_string_literal: true

# Whether a terminal inside a pod of Kubernetes means that a person is there.
module AutotaskAgent
  module Pods
    # Tell whether a terminal is the pod's own (`tty: true`), not one of `kubectl exec -it`.
    #
    # Only the pod's is bound to /dev/console (OCI runtime specification, config-linux, "Default
    # Devices"), and process 1 leads its session if no other container shares that.
    def self.console?(terminal)
      ::Process.getsid(0) == 1 || ::File.stat("/dev/console").rdev == terminal.stat.rdev
    rescue ::SystemCallError
      false
    end
  end
end
