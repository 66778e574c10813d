# frozen_string_literal: true

# Waits for the frameworks' classes. Each line costs every Ruby process in which no task runs (21,000
# instructions to compile it), so what only some need is in other files.
module AutotaskAgent
  FOLDER = __dir__
  @loaded = {}
  @pid = $$

  # Hears of each class that a program defines. No constant is touched that a Ractor could not read.
  module Classes
    private

    def inherited(made)
      super
      return unless equal?(::Object) && /\A(?:Rake|Thor)\b/.match?(made.name)

      AutotaskAgent.evaluate("classes", :await, made)
    end
  end

  # Evaluates one of our files, once, then makes a call. Not by require: see rubygems/defaults/ruby.rb.
  # By IO: tests of programs replace the methods of File. A broken installation must not reach the
  # program; what another thread raises has to wait.
  def self.evaluate(name, *call)
    ::Thread.handle_interrupt(::Object => :never) do
      begin
        unless @loaded[name]
          path = "#{FOLDER}/#{name}.rb"
          # Noted before it is evaluated: to define half of it again would only warn.
          ::Object.class_eval(@loaded[name] = ::IO.read(path, encoding: "UTF-8:-"), path)
        end
        __send__(*call) unless call.empty?
      rescue ::StandardError, ::ScriptError, ::NoMemoryError, ::SystemStackError => problem
        raise if call.empty? || (@loaded["debuglog"] && theirs?(name, problem)) # the guard has judged
      end
    end
  end

  ::Object.extend(Classes)
  at_exit do
    problem = $! # first of all: what is loaded sets it anew
    evaluate("guard", :finish, problem) if problem || !@loaded.empty?
  end
  if ::ENV["AUTOTASK_PARENT"].to_s.empty? || ::ENV.key?("AUTOTASK_PROCESS")
    evaluate("process_run", :begin_process)
  end
end
