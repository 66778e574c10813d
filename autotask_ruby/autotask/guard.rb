# frozen_string_literal: true

# Keeps our errors from the program: each of its calls into our code goes through here.
module AutotaskAgent
  # As they are now: what a program's tests replace them by is not for us to call.
  File = ::File.clone
  ENVIRON = ::ENV.method(:[]) # ENVIRON["HOME"]

  # Our errors are swallowed. What a signal's trap of the program raises while our code runs is the
  # program's, and passes; what another thread raises (Timeout, Thread#kill) waits until we are done.
  def self.guarded(where)
    ::Thread.handle_interrupt(::Object => :never) do
      begin
        yield
      rescue ::StandardError, ::ScriptError, ::NoMemoryError, ::SystemStackError => problem
        raise if theirs?(where, problem)
      end
    end
  end

  # Logs an error, unless it is the program's. No descriptor, memory or stack may be left for that.
  def self.theirs?(where, problem)
    load("debuglog")
    return true unless DebugLog.ours?(problem)

    DebugLog.swallowed(where, problem)
  rescue ::StandardError, ::ScriptError, ::NoMemoryError, ::SystemStackError
    false
  end
  private_class_method :theirs?

  @lock = ::Mutex.new

  # Evaluates one of our files, once, in whichever thread is first.
  def self.load(name)
    @lock.owned? ? evaluate(name) : @lock.synchronize { evaluate(name) }
  rescue ::ThreadError
    evaluate(name) # a trap may lock nothing
  end

  # The last at_exit of all. *problem* is what ends the program.
  def self.finish(problem)
    guarded("at_exit") do
      next unless @loaded["recorder"] || (problem && ENVIRON["AUTOTASK_PROCESS_RUN"]) ||
                  (@loaded["frameworks/rake"] && Rake.asked_for_files?)

      load("recorder")
      Recorder.finish(problem, $$ == @pid) # not in a child that this process has forked
    end
  end
end
