# frozen_string_literal: true

# Opens and closes runs: which task, under which run, each ended exactly once. The frameworks' files
# know this one alone. Its callers are guarded.
module AutotaskAgent
  evaluate("guard")
  load("run")
  load("settings")
  load("telling")

  # A fork leaves the runs of the process that has forked it to that process.
  module Recorder
    CURRENT = :autotask_run # the thread variable that holds a thread's innermost run
    CLOCK = ::Process.method(:clock_gettime) # as it was before the program could replace it

    @open = {}           # runs that have not ended, by id
    @memory = [0.0, nil] # when it was read, and the largest
    @here = @program = @pending = nil
    @settings = Settings.new(ENVIRON)
    @over = false

    class << self
      attr_accessor :program, # the process run, if this process ends it itself
                    :pending  # begins that run, if it is to begin with the first task's
      attr_reader :here, :settings

      # Opens a run, and puts it into *call* before it is told: what interrupts that finds it there.
      # *began* is the monotonic clock at its start, if that was earlier.
      def begin(call, task, framework, bookkeeping: false, server: false, began: nil)
        return if @over || !@settings.uses?(framework) || @settings.ignores?(task)

        begin_pending if @pending
        run = Run.new(::Random.urandom(8).unpack1("H*"), task, framework, 0)
        here = teller(run.id)
        run.pid = here.pid
        run.bookkeeping = bookkeeping
        run.server = server
        place(run, here)
        @open[run.id] = run
        self.current = run
        call.run = run
        tell_start(run, here, began)
      end

      # Closes a run, once.
      def end(run, outcome)
        closed = run.pid == $$ && @open.delete(run.id)
        return unless closed

        run.ended = outcome
        run.left = steady
        # Without a clock its start was not told: an end alone would say nothing.
        @here.finish(run, measured(run, outcome)) if run.clock
      ensure
        step_back(run) if closed
      end

      # The innermost open run of this thread, else of what most likely started it.
      def current
        run = ::Thread.current.thread_variable_get(CURRENT)
        run = ::Thread.main.thread_variable_get(CURRENT) if run.nil?
        run ||= @program
        run = run.outer while run && run.ended
        run
      end

      # false: this thread has none, and none is to be guessed.
      def current=(run)
        ::Thread.current.thread_variable_set(CURRENT, run)
      end

      # Returns what tells of this process, made at its *first* run, whose id its mark has.
      def teller(first)
        before = @here
        return before if before && before.pid == $$

        made = Teller.new(@settings)
        made.leave_mark(first)
        now = @here
        if now && now.pid == made.pid # another thread was faster
          made.leave
          return now
        end
        made.handed_on = before.handed_on if before
        # A launcher sees how the very process that it has started ends.
        launched = ENVIRON["AUTOTASK_PROCESS_RUN"].to_s.end_with?(":#{$$}")
        AutotaskAgent.load("leaving") unless launched
        @here = made
      end

      # The last at_exit of all. *problem* ends the program; *own*: this process is not a fork of it.
      def finish(problem, own)
        begin_pending if @pending
        to_blame = Rake.at_exit(problem) if own && defined?(Rake.at_exit)
        @over = true
        if problem || @program || !@open.empty?
          AutotaskAgent.load("process_run")
          ProcessRun.finish(problem, own, to_blame)
        end
        @here.leave if @here && @here.pid == $$
      end

      def steady
        CLOCK.call(::Process::CLOCK_MONOTONIC)
      end

      private

      def begin_pending
        pending = @pending
        @pending = nil
        pending.call
      end

      # The environment is the whole process's. If runs are side by side in threads, it names the
      # run around them rather than a wrong one.
      def place(run, here)
        outer = current
        if outer.nil?
          run.parent, run.root, run.trigger = here.parent, here.root || run.id, here.trigger
          hand_on(@open.empty? ? run : nil, here)
          return
        end
        run.outer = outer
        run.bookkeeping ||= outer.bookkeeping
        run.parent, run.root, run.trigger = outer.id, outer.root, outer.trigger
        if outer.crowd > 0
          hand_on(outer, here)
        elsif outer.equal?(here.handed_on)
          hand_on(run, here)
        end
        outer.crowd += 1
      end

      # Names in the environment the run under which the programs started from now on are.
      def hand_on(run, here)
        here.handed_on = run
        run ||= here if here.parent
        id = run.equal?(here) ? here.parent : run && run.id
        ::ENV.store("AUTOTASK_PARENT", run ? "#{id}:#{run.root}:#{run.trigger}" : "")
      end

      if ::Process.const_defined?(:CLOCK_PROCESS_CPUTIME_ID)
        def cpu_time
          CLOCK.call(::Process::CLOCK_PROCESS_CPUTIME_ID)
        end
      else # JRuby
        def cpu_time
          used = ::Process.times
          used.utime + used.stime
        end
      end

      def tell_start(run, here, began)
        run.started = CLOCK.call(::Process::CLOCK_REALTIME)
        run.started += began - steady if began
        run.cpu = cpu_time
        here.start(run) { run.clock = steady }
        run.clock = began if began
      end

      # Reading the memory takes long, and memory does not grow fast: it may be a millisecond old.
      def measured(run, outcome)
        now = CLOCK.call(::Process::CLOCK_REALTIME)
        @memory = [now, Procfs.largest_memory] unless (now - @memory[0]).between?(0.0, 0.001)
        End.new(outcome, now, run.left - run.clock, cpu_time - run.cpu, @memory[1])
      end

      # Gives the place of a run that has ended back to the run around it.
      def step_back(run)
        outer = run.outer
        self.current = outer || false if run.equal?(::Thread.current.thread_variable_get(CURRENT))
        outer.crowd -= 1 if outer
        hand_on(outer, @here) if run.equal?(@here.handed_on)
      end
    end

    AutotaskAgent.load("debug_runs") if @settings.debug
  end
end
