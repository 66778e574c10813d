# frozen_string_literal: true

# The ways out of a process that skip at_exit: exit!, exec, and daemon, whose parent ends at once.
module AutotaskAgent
  # Put in place with a process's first run. What they do for a process with open runs is cold.
  module Leaving
    # By alias, as other libraries do: a prepended method and an alias would call each other for ever.
    def self.follow(owner, *names)
      names.each do |name|
        next unless owner.method_defined?(name) || owner.private_method_defined?(name) # JRuby

        original = owner.instance_method(name)
        owner.class_eval do
          alias_method "autotask_#{name}", name
          define_method(name) do |*args|
            Leaving.leave(name, args) { original.bind(self).call(*args) }
          end
          ruby2_keywords(name) if respond_to?(:ruby2_keywords, true) # a library's exec may take some
          private "autotask_#{name}"
        end
      end
    end

    def self.leave(name, args, &original)
      is_cut_off = AutotaskAgent.guarded("leave") do
        next unless Recorder.here && Recorder.here.pid == $$

        AutotaskAgent.load("cut_off")
        CutOff.respond_to?(name)
      end
      is_cut_off ? CutOff.public_send(name, args, &original) : original.call
    end

    follow(::Kernel.singleton_class, :exec, :exit!)
    follow(::Process.singleton_class, :exec, :exit!, :daemon)
    follow(::Kernel, :exec, :exit!)
    ::Kernel.__send__(:private, :exec, :exit!)
  end
end
