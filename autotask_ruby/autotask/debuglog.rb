# frozen_string_literal: true

# The debug log: one line for each entry, printable. Loaded only if there may be something to write.
module AutotaskAgent
  # Appends lines to the file that AUTOTASK_DEBUG names; `1` is standard error.
  module DebugLog
    OF_RUBY = /\A(?:<internal:|\S+\.java:)/.freeze # frames of Ruby's own methods
    FLAGS = File::WRONLY | File::APPEND | File::CREAT | File::NONBLOCK

    class << self
      # A trap of the program runs in any frame, ours too, but its own frames are further in.
      def ours?(problem)
        return true unless problem.is_a?(::StandardError)

        place = (problem.backtrace || []).find { |line| !OF_RUBY.match?(line) }
        place.nil? || place.start_with?(FOLDER, "(autotask)")
      end

      def swallowed(where, problem)
        write { "swallowed #{problem.class} in #{where} (#{places(problem)})" }
      end

      def write
        path = ENVIRON["AUTOTASK_DEBUG"].to_s.strip
        return if path.empty? || %w[0 false no off].include?(path.downcase)

        line = "autotask: #{clean(yield)}\n"
        if %w[1 true yes on].include?(path.downcase)
          ::IO.for_fd(2, autoclose: false).syswrite(line)
        else
          File.open(path, FLAGS, 0o600) { |file| file.syswrite(line) }
        end
        nil
      rescue ::SystemCallError, ::IOError
        nil # the log is not worth an error
      end

      private

      def places(problem)
        (problem.backtrace || []).first(8).map { |line| line[%r{[^/]+:\d+}] }.reverse.join(" ")
      end

      # Escapes what is not printable: line ends, terminal controls, invalid bytes.
      def clean(text)
        text.dup.force_encoding(::Encoding::UTF_8).scrub("?")
            .gsub(/[^[:print:]]/) { |letter| letter.dump[1..-2] }
      end
    end
  end
end
