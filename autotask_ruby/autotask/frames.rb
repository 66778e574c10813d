# frozen_string_literal: true

# Hides the frames of our wrappers from those who print an exception. Loaded only after a failure.
module AutotaskAgent
  load("causes")

  # Their file is called (autotask)...
  module Frames
    # The program may redefine them.
    BACKTRACE, SET_BACKTRACE = %i[backtrace set_backtrace].map do |name|
      ::Exception.instance_method(name)
    end

    # Takes them out of the backtraces of an exception and its causes. The locations stay as they
    # are: by them Ruby shows the line in which a NoMethodError was raised.
    def self.hide(problem)
      AutotaskAgent.causes(problem).each do |cause|
        lines = BACKTRACE.bind(cause).call || []
        kept = lines.reject { |line| line.start_with?("(autotask)") }
        SET_BACKTRACE.bind(cause).call(kept) if kept.size < lines.size && !cause.frozen?
      end
    end
  end
end
