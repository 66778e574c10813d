# frozen_string_literal: true

# From an exception to the error that is recorded: type, masked message, where it came from.
# As autotask/failures.py. Loaded only after a failure.
module AutotaskAgent
  load("text")
  load("causes")

  module Failures
    LONGEST_MESSAGE = 500 # characters of an exception's message that are kept
    LONGEST_READ = 20_000 # characters of it that are searched for secrets
    LONGEST_WORD = 2_000 # characters of a secret of unknown end
    FRAMEWORKS = "(?:rake|thor|bundler|rubygems|rails|railties|active[a-z]+|action[a-z]+|sidekiq" \
                 "|capistrano|sshkit|airbrussh|bootsnap|spring|zeitwerk)"
    # Files of frameworks (gems, also those of a git repository, and Debian's packages), the commands
    # that load them, and what we have put around them.
    FOREIGN = %r{
      /gems/#{FRAMEWORKS}-(?:\d|\h{12}/)
      | /(?:vendor_ruby|site_ruby)/#{FRAMEWORKS}[/.]
      | /bin/(?:rake|rails|thor|cap|bundle|spring|sidekiq)\z
      | \A(?:<internal:|\(autotask\))|\.java\z
    }x.freeze
    # Ruby's own library, and our folder.
    FOLDERS = [RbConfig::CONFIG["rubylibdir"], RbConfig::CONFIG["rubyarchdir"], FOLDER]
              .compact.map { |folder| "#{Text.utf8(folder)}/" }.freeze
    FRAME = /\A(.+?):(\d+)(?::in |\z)/m.freeze

    # Return an exception's type, masked message and, where known, the place it came from.
    def self.describe(exception, settings)
      type = type_of(exception)
      described = { "type" => type }
      described["message"] = masked(message_of(exception, type)) if settings.messages
      where = where_of(exception)
      described["where"] = where if where
      described
    end

    # Hide the secrets of known shapes in a text, and cut it at 500 characters.
    def self.masked(text)
      return text if text.empty?

      AutotaskAgent.load("masking")
      hidden = Masking.hide(text[0, LONGEST_READ])
      if text.length <= LONGEST_READ
        return hidden if hidden.length <= LONGEST_MESSAGE
      elsif !hidden.end_with?("***")
        # Half of the last word was not read: it may be half a secret, which has no known shape.
        ends = [hidden.rindex(" ") || -1, hidden.rindex("\n") || -1, hidden.length - LONGEST_WORD, 0]
        hidden = hidden[0, ends.max]
      end
      "#{hidden[0, LONGEST_MESSAGE - 3]}..."
    end

    # Return the name of an exception's class; of a class without a name its nearest ancestor's.
    #
    # Not `exception.class.name`: a class of the program's may redefine both.
    def self.type_of(exception)
      type = Kernel.instance_method(:class).bind(exception).call
      name = Module.instance_method(:name)
      type = type.superclass until name.bind(type).call
      Text.valid(name.bind(type).call, "?")
    end

    # Return what an exception says, or nothing if that is just its class's name.
    def self.message_of(exception, type)
      message = spoken(exception)
      return "" unless String === message # it may have no methods at all, or its own ones

      # 4: bytes of a character, at most.
      message = Text.utf8(String.new(message).byteslice(0, (LONGEST_READ + 1) * 4)).scrub
      message == type ? "" : message
    end

    # Ask for an exception's message, without what did_you_mean and error_highlight add to it: up to
    # Ruby 3.3 they redefine `to_s`, and mark that by a constant.
    def self.spoken(exception)
      find = Kernel.instance_method(:method).bind(exception)
      return exception.message unless find.call(:message).owner == Exception

      to_s = find.call(:to_s)
      to_s = to_s.super_method while to_s.owner.const_defined?(:SKIP_TO_S_FOR_SUPER_LOOKUP, false)
      to_s.call
    rescue StandardError, ScriptError, SystemStackError # the program's own method
      nil
    end

    # Return `file:line` of the innermost frame outside the frameworks and Ruby's own library.
    #
    # SSHKit raises in threads of its own: the task's frame is in the cause alone.
    def self.where_of(exception)
      AutotaskAgent.causes(exception).each do |cause|
        place = place_in(cause)
        return place if place
      end
      nil
    end

    def self.place_in(exception)
      backtrace = Exception.instance_method(:backtrace).bind(exception).call || []
      backtrace.each do |frame|
        file, line = Text.valid(frame, "?").match(FRAME).to_a.drop(1)
        return "#{file}:#{line}" if file && !foreign?(file)
      end
      nil
    end

    def self.foreign?(file)
      FOLDERS.any? { |folder| file.start_with?(folder) } || FOREIGN.match?(file)
    end

    private_class_method :type_of, :message_of, :spoken, :where_of, :place_in, :foreign?
  end
end
