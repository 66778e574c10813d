# frozen_string_literal: true

# An exception and those because of which it was raised. Loaded only after a failure.
module AutotaskAgent
  CAUSE = ::Exception.instance_method(:cause) # the program may redefine it

  # Returns an exception, its cause, the cause of that and so on, each once.
  def self.causes(problem)
    seen = {}.compare_by_identity
    while problem && !seen[problem]
      seen[problem] = true
      problem = CAUSE.bind(problem).call
    end
    seen.keys
  end
end
