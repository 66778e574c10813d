# frozen_string_literal: true

# What a tag makes of letters beyond ASCII, as Python does it. Loaded only for these.
module AutotaskAgent
  load("text")

  module Letters
    ODD = %r{[^\p{L}\p{N}_\-:./]}.freeze
    # A capital sigma that ends a word becomes another small one, which Ruby leaves out.
    CASED = '[[\p{Cased}]&&[^\p{Case_Ignorable}]]'
    FINAL_SIGMA = /(#{CASED}\p{Case_Ignorable}*)Σ(?!\p{Case_Ignorable}*#{CASED})/.freeze

    # Write a tag in lower case, each odd letter as `_`, and each byte that is not UTF-8.
    def self.of_tag(key, value)
      text = "#{Text.valid(key, "_")}:#{Text.valid(value, "_")}"
      text.gsub(FINAL_SIGMA, "\\1ς").downcase.gsub(ODD, "_")
    end
  end
end
