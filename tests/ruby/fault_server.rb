# frozen_string_literal: true

# Runs programs in forks of a warm Ruby, with a fault in one place of our code: see faults.py.
# Only tests load this file.

# What Rake requires, so that each fork has less to load.
%w[etc fileutils monitor optparse ostruct singleton timeout].each { |name| require name }

# Serves the requests, and puts the faults into our code.
module FaultServer
  SEPARATOR = "\x1f"
  EVENTS = %i[line call b_call].freeze # each line, and the start of each method and block
  PROBLEMS = {
    "StandardError" => [StandardError, "fault"], "Errno" => [Errno::EIO, "fault"],
    "NoMemoryError" => [NoMemoryError, "fault"], "SystemStackError" => [SystemStackError, "fault"],
    "LoadError" => [LoadError, "fault"]
  }.freeze

  class << self
    attr_reader :compiled

    # Compile Rake, as each fork would have to do.
    def warm
      @compiled = {}
      reader, writer = IO.pipe
      pid = fork do
        before = $LOADED_FEATURES.dup
        require "rake"
        writer.puts(($LOADED_FEATURES - before).grep(/\.rb\z/))
      end
      writer.close
      paths = reader.read.split("\n")
      @compiled = paths.map { |path| [path, RubyVM::InstructionSequence.compile_file(path)] }.to_h
      Process.wait(pid)
    end

    # Return the request in the fork that is to serve it; the server itself never returns.
    def serve
      while (line = $stdin.gets)
        request = line.chomp.split(SEPARATOR, -1)
        pid = fork
        return request unless pid

        $stdout.puts(status_of(pid))
        $stdout.flush
      end
      exit!
    end

    def status_of(pid)
      30_000.times do
        return $?.to_i if Process.wait(pid, Process::WNOHANG)

        sleep 0.001
      end
      Process.kill("KILL", pid)
      Process.wait(pid)
      "hung"
    end

    def begin_program(place, words, environ)
      Dir.chdir(place)
      $stdin.reopen(File::NULL)
      $stdout.reopen("#{place}/out", "w")
      $stderr.reopen("#{place}/err", "w")
      $stderr.sync = true
      environ.each do |pair|
        name, value = pair.split("=", 2)
        ENV[name] = value
      end
      ARGV.replace(words)
    end

    # Watch our code as it is loaded: *chosen* is the place of the fault. "?" notes all places, "??"
    # the calls of Ruby's own methods, too.
    def watch(ours, chosen, kind)
      @ours = ours
      @chosen = chosen
      @kind = kind
      @times = 0
      @reached = {}
      @main = Thread.current
      TracePoint.new(:script_compiled) do |point|
        code = point.instruction_sequence
        watch_code(code) if code.path.start_with?(ours, "(autotask)")
      end.enable
      watch_calls if chosen == "??" || chosen.include?(":c_call:")
    end

    def watch_code(code)
      TracePoint.new(*EVENTS) { |point| come_to("#{point.event}:") { point } }.enable(target: code)
    rescue ArgumentError
      nil # no event in it
    end

    def watch_calls
      TracePoint.new(:c_call) do |point|
        come_to("c_call:#{point.method_id}") { point } if point.path.start_with?(@ours)
      end.enable
    end

    def come_to(what)
      point = yield
      place = "#{point.path.delete_prefix(@ours)}:#{point.lineno}:#{what}"
      if @chosen.start_with?("?")
        @reached[place] ||= File.write("reached", "#{place}\n", mode: "a")
      elsif @chosen == place && ready_for?(@kind)
        @times += 1
        fail_here
      end
    end

    # The program says when it has a handler for what comes from outside.
    def ready_for?(kind)
      $ready || !%w[signal interrupt thread].include?(kind)
    end

    def fail_here
      problem = PROBLEMS[@kind.delete_suffix(" once")]
      if problem.nil?
        happen if @times == 1
      elsif @times == 1 || !@kind.end_with?(" once")
        # Its backtrace ends in our code, as if Ruby or the system had failed there.
        raise(*problem, caller.drop_while { |line| line.start_with?(__FILE__) })
      end
    end

    # What is not our error, but comes while our code runs.
    def happen
      File.write("happened", @chosen)
      case @kind
      when "hangs" then sleep 0.02
      when "signal" then Process.kill("USR1", Process.pid)
      when "interrupt" then Process.kill("INT", Process.pid)
      when "thread" then Thread.new { @main.raise(Late, "late") }.join
      end
    end
  end
end

# What a program's signal handler or another thread raises while our code runs.
class Late < StandardError; end

# Ruby asks this for the code of each file that it loads.
class RubyVM
  # The hook of caches of compiled code.
  class InstructionSequence
    def self.load_iseq(path)
      FaultServer.compiled[path]
    end
  end
end

FaultServer.warm
place, program, words, environ, ours, chosen, kind = FaultServer.serve
FaultServer.begin_program(place, words.split("\t"), environ.split("\t"))
unless ours.empty? # else the program runs bare
  FaultServer.watch(ours, chosen, kind) unless chosen.empty?
  $LOAD_PATH.unshift(ours)
  begin
    require "rubygems/defaults/ruby"
  rescue LoadError
    nil # so does RubyGems
  end
end
$PROGRAM_NAME = File.basename(program)
load program
