# frozen_string_literal: true

# The texts of a failure: its reason in a line, its service check, its Datadog event.
# As autotask/messages.py. Loaded only after a failure.
module AutotaskAgent
  load("text")

  module Messages
    LONGEST = 500 # characters of a field
    LEAST_TEXT = 200 # bytes of a reason that are kept, however little room the tags leave
    # Line ends and what turns the direction of a text, for a terminal or a page.
    CONTROLS = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/.freeze
    INVALID = 0x10ff00 # added to a byte that is not UTF-8: a character for private use

    # Write why a run failed: `exit 3`, `signal SIGKILL`, `exception ValueError: text`.
    def self.summary(outcome)
      words = [outcome.reason || "failure"]
      words << outcome.exit_code.to_s if outcome.exit_code && %w[exit usage].include?(outcome.reason)
      words << outcome.signal if outcome.signal
      if outcome.error
        message = outcome.error["message"]
        message = nil if message && message.empty?
        words << [outcome.error["type"], message].compact.map { |text| Text.utf8(text) }.join(": ")
      end
      words.join(" ")
    end

    # Write the message of a failure's service check in *size* bytes.
    def self.check(outcome, size)
      cut(one_line(summary(outcome)), size)
    end

    # Write the event of a failure so that it fits a datagram of *size* bytes.
    def self.event(task, tags, ending, host, size)
      title = one_line("task failed: #{Text.utf8(task)}", 300)
      error = ending.outcome.error || {}
      facts = [
        ["reason", summary(ending.outcome)],
        ["where", error["where"]],
        ["duration", ending.duration && format("%.3f s", ending.duration)],
        ["host", host]
      ]
      facts.reject! { |_, fact| fact.nil? || fact.empty? }
      text = facts.map { |name, fact| "#{name}: #{one_line(fact)}" }.join('\n')
      tail = "|k:#{one_line(task, 100)}|t:error|##{tags}"
      # 20: the two lengths, the marks around them, the line's end.
      text = cut(text, size - title.bytesize - tail.bytesize - 20)
      "_e{#{title.bytesize},#{text.bytesize}}:#{title}|#{text}#{tail}"
    end

    # Make a text safe inside a line of the protocol: no line ends, no field marks.
    #
    # A byte that is not UTF-8 is written as Python writes it, which reads 0xff as \udcff.
    def self.one_line(text, length = LONGEST)
      text = Text.utf8(text)
      is_valid = text.valid_encoding?
      text = text.scrub { |bytes| bytes.each_byte.map { |byte| INVALID + byte }.pack("U*") } unless is_valid
      text = text[0, length].tr("|", "/").gsub("\n", '\n').gsub(CONTROLS, " ")
      return text if is_valid

      text.gsub(/[\u{10ff80}-\u{10ffff}]/) { |char| format('\udc%02x', char.ord - INVALID) }
    end

    # Cut a text to *size* bytes, or to 200 if that is more, between characters.
    def self.cut(text, size)
      size = LEAST_TEXT if size < LEAST_TEXT
      text.bytesize <= size ? text : text.byteslice(0, size).scrub("")
    end
  end
end
