# frozen_string_literal: true

# What few lines of the journal have: failures, deliveries, tags, and texts that are not plain ASCII.
module AutotaskAgent
  # The rest of Lines, whose interface it is behind.
  module LinesRare
    ESCAPED = { 34 => '\"', 92 => "\\\\", 10 => '\n', 13 => '\r', 9 => '\t' }.freeze
    # Environment and arguments have these under LC_ALL=C. Python decodes them as UTF-8.
    BYTES = [::Encoding::UTF_8, ::Encoding::US_ASCII, ::Encoding::BINARY].freeze

    class << self
      def process_fields(pid, identity, host, ruby, settings)
        entity = settings && settings.entity_id
        fields = +%("pid":#{pid})
        fields << %(,"entity":#{Lines.quoted(entity)}) if entity
        fields << %(,"process":#{Lines.quoted(identity)},"host":#{Lines.quoted(host)})
        fields << %(,"ruby":#{Lines.quoted(ruby)}) if ruby
        return fields unless settings

        named = { "service" => settings.service, "env" => settings.env, "version" => settings.version }
        named.each { |name, text| fields << %(,"#{name}":#{Lines.quoted(text)}) if text }
        fields << %(,"tags":#{mapping(settings.tags)}) unless settings.tags.empty?
        fields
      end

      # Write the fields of an outcome that is not a success, each after a comma.
      def outcome(outcome)
        fields = +""
        fields << %(,"reason":"#{outcome.reason}") if outcome.reason
        fields << %(,"caused_by":"#{outcome.caused_by}") if outcome.caused_by
        fields << %(,"exit_code":#{outcome.exit_code}) if outcome.exit_code
        fields << %(,"signal":#{Lines.quoted(outcome.signal)}) if outcome.signal
        fields << %(,"error":#{mapping(outcome.error)}) if outcome.error
        fields
      end

      # Write what a run took, as far as it is known.
      def took(duration, cpu, max_rss)
        fields = +""
        fields << format(',"duration":%.6f', duration) if duration
        fields << format(',"cpu":%.6f', cpu) if cpu
        fields << %(,"max_rss":#{max_rss}) if max_rss
        fields
      end

      # Write which exception has ended a program, for the launcher that closes its process run.
      def raised(id, root, at, outcome)
        %({"event":"raised","run":"#{id}","root":"#{root}","at":"#{Lines.moment(at)}") +
          "#{outcome(outcome)}}"
      end

      # Write a JSON object of strings.
      def mapping(hash)
        "{#{hash.map { |key, value| "#{Lines.quoted(key)}:#{Lines.quoted(value)}" }.join(",")}}"
      end

      # Write a JSON string in ASCII.
      def quoted(text)
        %("#{points(text).map { |point| escaped(point) }.join("")}")
      end

      # Return the code points of a text in any encoding. A byte that is part of none becomes a lone
      # surrogate, as with Python's error handler `surrogateescape`.
      def points(text)
        text = ::String.new(text)
        return text.encode(::Encoding::UTF_8).codepoints unless BYTES.include?(text.encoding)

        text.force_encoding(::Encoding::UTF_8)
        return text.codepoints if text.valid_encoding?

        text.each_char.flat_map { |letter| letter.valid_encoding? ? letter.ord : lone(letter) }
      rescue ::EncodingError
        text.each_char.flat_map { |letter| points_of(letter) }
      end

      private

      def escaped(point)
        return ESCAPED[point] if ESCAPED.key?(point)
        return point.chr if point.between?(32, 126)
        return format('\u%04x', point) if point < 0x10000

        point -= 0x10000
        format('\u%04x\u%04x', 0xD800 + (point >> 10), 0xDC00 + (point & 0x3FF))
      end

      def points_of(letter)
        letter.encode(::Encoding::UTF_8).codepoints
      rescue ::EncodingError
        lone(letter)
      end

      def lone(letter)
        letter.bytes.map { |byte| byte < 128 ? byte : 0xDC00 + byte }
      end
    end
  end
end
