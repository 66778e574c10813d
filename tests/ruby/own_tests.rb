# frozen_string_literal: true

# Runs a suite of minitest or test-unit (rake has had both), and writes the outcome of each test in
# JUnit's form: `ruby own_tests.rb REPORT PATTERN...`.

OUTCOMES = [] # class, name, and of each fault its kind and its exception
REPORT = ARGV.shift
FILES = ARGV.slice!(0..-1).flat_map { |pattern| Dir[pattern].sort } # no arguments for the suite
RUNNER = Process.pid

def element(name, attributes, inner = "")
  words = attributes.map { |key, value| "#{key}=#{value.encode(xml: :attr)}" }
  "<#{name} #{words.join(" ")}>#{inner}</#{name}>"
end

def testcase(owner, name, faults)
  inner = faults.map { |kind, error| element(kind, { "message" => error.gsub("::", ".") }) }
  element("testcase", { "classname" => owner, "name" => name }, inner.join)
end

# Both run their tests in an at_exit that is registered after this one, and so runs before it.
at_exit do
  next unless Process.pid == RUNNER

  cases = OUTCOMES.map { |outcome| testcase(*outcome) }
  File.write(REPORT, "<testsuite>\n#{cases.join("\n")}\n</testsuite>\n")
end

# Around Minitest::Test#run.
module MinitestOutcome
  def run
    super.tap do |result|
      faults = result.failures.map { |fault| [kind(fault), fault.error.class.name] }
      OUTCOMES << [result.klass, result.name, faults]
    end
  end

  private

  def kind(fault)
    case fault
    when Minitest::Skip then "skipped"
    when Minitest::UnexpectedError then "error"
    else "failure"
    end
  end
end

# Around Test::Unit::TestCase#run, which adds the faults to the result of all tests.
module TestUnitOutcome
  KINDS = {
    "Failure" => "failure", "Error" => "error", "Omission" => "skipped", "Pending" => "skipped"
  }.freeze

  def run(result, *)
    before = result.faults.size
    super
  ensure
    faults = result.faults.drop(before).select { |fault| KINDS[fault.label] }
    OUTCOMES << [self.class.name, method_name, faults.map { |fault| [KINDS[fault.label], of(fault)] }]
  end

  private

  def of(fault)
    fault.respond_to?(:exception) ? fault.exception.class.name : fault.label
  end
end

FILES.each { |file| require File.expand_path(file) }
if defined?(Minitest::Test)
  Minitest::Test.prepend(MinitestOutcome)
  ARGV.replace(%w[--seed 1]) # the order of the tests
elsif defined?(Test::Unit::TestCase)
  Test::Unit::TestCase.prepend(TestUnitOutcome)
end
