# Starts autotask in each Ruby process that has this folder on RUBYLIB: RubyGems requires
# rubygems/defaults/ruby at its start, and goes on without it where it is missing.
#
# Any Ruby may load this file: nothing here is newer than Ruby 1.8, and one that is too old for the
# agent goes on in silence. The machine's own file of that name is loaded as it would be without us.
autotask_folder = File.dirname(File.dirname(File.dirname(File.expand_path(__FILE__))))
$LOAD_PATH.delete(autotask_folder)
begin
  if $LOAD_PATH.any? { |folder| File.file?("#{folder}/rubygems/defaults/ruby.rb") }
    require "rubygems/defaults/ruby"
  end
ensure
  begin
    if RUBY_VERSION >= "2.5" && !%w[0 false no off].include?(ENV["AUTOTASK_ENABLED"].to_s.strip.downcase)
      path = "#{autotask_folder}/autotask/agent.rb"
      # Not by require: the program would see it among its own features, Coverage among its files.
      Object.class_eval(File.read(path, :encoding => "UTF-8:-"), path)
    end
  rescue StandardError, ScriptError, NoMemoryError, SystemStackError
    nil # a broken installation must not reach the program
  end
end
