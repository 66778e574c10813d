# frozen_string_literal: true

# Hide secrets of known shapes in a text that leaves the process; as autotask/masking.py.
module AutotaskAgent
  load("patterns")

  module Masking
    @compiled = {}

    # Put *** in the place of each secret whose shape is in the table. The text is valid UTF-8.
    def self.hide(text)
      lowered = text.downcase
      Patterns::ROWS.each do |hints, pattern|
        next unless hints.any? { |hint| lowered.include?(hint) }

        compiled = @compiled[pattern] ||= Regexp.new(pattern)
        text = text.gsub(compiled) { masked($~) }
      end
      text
    end

    def self.masked(match)
      kept = match["kept"]
      value = match[0][kept.length..-1]
      bare = match.names.include?("bare") && match["bare"]
      return match[0] if bare && Patterns::WORDS.include?(value.gsub(/\A[.,:;`]+|[.,:;`]+\z/, "").downcase)
      return match[0] if value.length < 3 && !value.match?(/\A[\p{L}\p{N}]+\z/) # a mark: `invalid token: '}'`

      "#{kept}***"
    end

    private_class_method :masked
  end
end
