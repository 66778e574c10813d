# frozen_string_literal: true

# Match a task's name with a glob of AUTOTASK_IGNORE, and quote a bad value: both as Python does.
module AutotaskAgent
  load("lines_rare")

  # Texts are lists of code points in here: they may be in any encoding, and invalid.
  module Globs
    NOT_PRINTABLE = /[\p{C}\p{Z}&&[^ ]]/
    STAR, OPEN, CLOSE, NOT, ANY, DASH = "*[]!?-".codepoints

    class << self
      # Tell whether a whole text matches a glob of `*`, `?`, `[a-c]` and `[!a-c]`.
      def match?(glob, text)
        wanted = steps(LinesRare.points(glob))
        text = LinesRare.points(text)
        at = seen = 0
        star = resume = nil
        while seen < text.size
          if wanted[at] == STAR
            star = at
            resume = seen
            at += 1
          elsif at < wanted.size && wanted[at].call(text[seen])
            at += 1
            seen += 1
          elsif star # it takes one more
            at = star + 1
            seen = resume += 1
          else
            return false
          end
        end
        wanted.drop(at).all? { |step| step == STAR }
      end

      # Write a text as Python's repr does.
      def repr(text)
        points = LinesRare.points(text)
        quote = points.include?(39) && !points.include?(34) ? '"' : "'"
        quote + points.map { |point| shown(point, quote) }.join("") + quote
      end

      private

      # Return for each step of a glob STAR, or what tells whether a code point fits.
      def steps(glob)
        found = []
        at = 0
        while at < glob.size
          last = glob[at] == OPEN ? end_of_set(glob, at) : nil
          found << (last ? set(glob[at + 1...last]) : step(glob[at]))
          at = last || at
          at += 1
        end
        found
      end

      def step(point)
        return STAR if point == STAR

        point == ANY ? ->(_) { true } : point.method(:==)
      end

      # Return where a set ends that opens at a place; nil if it does not. Its first letter may be `]`.
      def end_of_set(glob, at)
        at += 1 if glob[at + 1] == NOT
        (at + 2...glob.size).find { |index| glob[index] == CLOSE }
      end

      # Return what tells whether a code point is in a set: `a-c` or `!a-c`.
      def set(points)
        negative = points[0] == NOT
        points = points.drop(1) if negative
        ranges = []
        until points.empty?
          first, dash, last = points
          if dash == DASH && last
            ranges << (first..last)
            points = points.drop(3)
          else
            ranges << (first..first)
            points = points.drop(1)
          end
        end
        ->(point) { ranges.any? { |range| range.include?(point) } != negative }
      end

      def shown(point, quote)
        return "\\#{point.chr}" if point == quote.ord || point == 92
        return { 9 => '\t', 10 => '\n', 13 => '\r' }[point] if [9, 10, 13].include?(point)

        return format('\u%04x', point) if point.between?(0xD800, 0xDFFF)

        letter = [point].pack("U")
        return letter unless NOT_PRINTABLE.match?(letter)

        format(point < 0x100 ? '\x%02x' : point < 0x10000 ? '\u%04x' : '\U%08x', point)
      end
    end
  end
end
