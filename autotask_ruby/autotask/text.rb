# frozen_string_literal: true

# Texts of the program, in whatever encoding they are, as UTF-8. None of this raises.
module AutotaskAgent
  module Text
    UTF_8 = Encoding::UTF_8
    UNMARKED = [Encoding::ASCII_8BIT, Encoding::US_ASCII].freeze # LC_ALL=C marks UTF-8 so

    # Return a plain String in UTF-8. Bytes that are not UTF-8 stay: see `scrub`.
    def self.utf8(text)
      encoding = text.encoding
      return text if encoding == UTF_8 && text.instance_of?(String)

      text = String.new(text)
      return text.force_encoding(UTF_8) if encoding == UTF_8 || UNMARKED.include?(encoding)

      text.encode(UTF_8, invalid: :replace, undef: :replace)
    rescue EncodingError # Ruby names encodings that it cannot convert, like UTF-7
      String.new(text).force_encoding(UTF_8)
    end

    # Return a valid text in UTF-8, with *mark* for each byte that was not.
    def self.valid(text, mark)
      text = utf8(text)
      text.valid_encoding? ? text : text.scrub { |bytes| mark * bytes.bytesize }
    end
  end
end
