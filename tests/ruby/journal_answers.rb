# frozen_string_literal: true

# What the tests of lines, settings and the journal ask the Ruby half: see half.py.

%w[run settings lines journal stderr_journal globs].each { |name| AutotaskAgent.load(name) }

$warnings = []

def Warning.warn(message, **)
  $warnings << message
end

def warnings
  $warnings
end

# Mark bytes as a text in some encoding.
def marked(text, encoding)
  text.is_a?(String) ? text.dup.force_encoding(encoding) : text
end

def quoted(text, encoding)
  AutotaskAgent::Lines.quoted(marked(text, encoding))
end

# For each encoding of this Ruby: its name, and what is written for a text in it.
def quoted_in_all(text)
  Encoding.list.map { |encoding| [encoding.name, quoted(text, encoding)] }
end

def moment(at)
  [AutotaskAgent::Lines.moment(at), AutotaskAgent::Lines.segment(at.to_i)]
end

def started(fields, place, unsent, encoding)
  run = AutotaskAgent::Run.new(fields["id"], marked(fields["task"], encoding), fields["framework"])
  %w[root parent trigger started server bookkeeping].each do |name|
    run.send("#{name}=", fields[name])
  end
  AutotaskAgent::Lines.started(run, place, unsent)
end

Tagged = Struct.new(:entity_id, :service, :env, :version, :tags) do
  def tagged
    [entity_id, service, env, version].any? || !tags.empty?
  end
end

def process_fields(pid, identity, host, ruby, tagged)
  AutotaskAgent::Lines.process_fields(pid, identity, host, ruby, tagged && Tagged.new(*tagged))
end

def finished(id, root, outcome, at, took, unsent)
  run = AutotaskAgent::Run.new(id, "a", "b")
  run.root = root
  outcome = AutotaskAgent::Outcome.new(*outcome)
  [AutotaskAgent::Lines.finished(run, AutotaskAgent::End.new(outcome, at, *took), unsent),
   AutotaskAgent::Lines.raised(id, root, at, outcome)]
end

def delivery(event, id, root, which)
  AutotaskAgent::Lines.delivery(event, id, root, which)
end

def record(started, finished)
  AutotaskAgent::StderrJournal.record(started, finished)
end

ATTRIBUTES = %i[
  problems enabled home name stderr journal dogstatsd events messages debug process destination
  entity_id tags env service version
].freeze

def settings_of(environ, frameworks, tasks)
  settings = AutotaskAgent::Settings.new(environ)
  [ATTRIBUTES.map { |name| [name, settings.send(name)] }.to_h,
   frameworks.map { |name| settings.uses?(name) }, tasks.map { |name| settings.ignores?(name) },
   AutotaskAgent::Settings.parent_of(environ)]
end

def settings(environ, frameworks, tasks, encoding)
  environ = environ.transform_values { |value| marked(value, encoding) }
  settings_of(environ, frameworks, tasks.map { |task| marked(task, encoding) })
end

def settings_of_process
  settings_of(ENV, [], [])
end

# Load all that a journal may need: later it may be impossible.
def load_journal
  %w[lines_rare journal_rare full_disk homes debuglog].each { |name| AutotaskAgent.load(name) }
  nil
end

# Do things with one journal; return what each of them returned, and the mark's name.
def journal(home, steps)
  Steps.all(home, steps)
end

# What can be done with a journal; the same as in test_journal.py.
class Steps
  def self.all(home, steps)
    limit = Process.getrlimit(:FSIZE)
    trap("XFSZ", "IGNORE")
    done = new(home)
    steps.map { |name, *words| [done.send(name, *words), done.mark] }
  ensure
    done.close
    Process.setrlimit(:FSIZE, *limit)
  end

  def initialize(home)
    @journal = AutotaskAgent::Journal.new(home)
    @held = []
  end

  def mark
    @journal.mark && File.basename(@journal.mark)
  end

  def append(line, keep)
    @journal.append(line, keep)
  end

  def claim(line)
    @journal.append(line) { nil }
  end

  def unsent
    run = AutotaskAgent::Run.new("0" * 16, "a", "b")
    run.root = run.id
    @journal.tell_unsent(run, "started")
    nil
  end

  def leave_mark(name)
    @journal.leave_mark(name, "boot/namespace/1", 7, "h\u00f6st", "1" * 16)
    nil
  end

  def take_mark_back(has_refused)
    @journal.take_mark_back(has_refused)
    nil
  end

  def home
    [@journal.home, @journal.folder]
  end

  def close
    @journal.close
  end

  def file
    @journal.instance_variable_get(:@file)
  end

  # As if the segment were of the hour before.
  def hour
    @journal.instance_variable_set(:@hour, 0)
    nil
  end

  def room(bytes)
    hard = Process.getrlimit(:FSIZE)[1]
    Process.setrlimit(:FSIZE, bytes || hard, hard)
  end

  def umask(mode)
    File.umask(mode)
    nil
  end

  def user(id)
    Process.groups = []
    Process::Sys.setgid(id)
    Process::Sys.setuid(id)
    nil
  end

  def remove(path)
    system("rm", "-rf", path)
    nil
  end

  def mode(path, mode)
    File.chmod(mode, path)
    nil
  end

  # Close the journal's descriptor behind its back.
  def lose
    IO.for_fd(file.fileno).close
  end

  # Let a file of the program's have the journal's descriptor.
  def steal(path)
    mine = File.new(path, "w")
    IO.for_fd(file.fileno, autoclose: false).reopen(mine)
    mine.close
  end

  # Leave no descriptor, or give all back.
  def descriptors(none)
    return @held.each(&:close).clear && nil unless none

    soft, hard = Process.getrlimit(:NOFILE)
    Process.setrlimit(:NOFILE, 64, hard)
    loop { @held << File.new("/dev/null") }
  rescue Errno::EMFILE
    Process.setrlimit(:NOFILE, [soft, 64].min, hard)
    nil
  end
end
