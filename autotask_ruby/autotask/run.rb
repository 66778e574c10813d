# frozen_string_literal: true

# What one run was, and how it ended.
module AutotaskAgent
  # One execution of a task, from its start on. `outer` is the run around it in this process; `parent`
  # and `root` are ids; `started` is in POSIX seconds; `clock` and `left` are the monotonic clock at its
  # start and end; `cpu` is what the process had used at its start; `crowd` are the open runs directly
  # under it in this process; a `server` runs until it is stopped; `bookkeeping` its framework runs for
  # itself.
  Run = ::Struct.new(
    :id, :task, :framework, :crowd, :outer, :parent, :root, :trigger, :pid, :started, :clock, :left,
    :cpu, :ended, :server, :bookkeeping
  )

  # How a run ended: the contract's status and reason, and what belongs to them.
  Outcome = ::Struct.new(:status, :reason, :exit_code, :signal, :error, :caused_by)

  # An end: its outcome, when it was (POSIX seconds), and what the run took (seconds, bytes).
  End = ::Struct.new(:outcome, :at, :duration, :cpu, :max_rss)

  # One call of a task: what the pair around it, before and after, know of it.
  Call = ::Struct.new(:task, :run, :began)

  SUCCESS = Outcome.new("success").freeze
end
