# frozen_string_literal: true

# Waits in a framework's class for the method that is to be replaced.
module AutotaskAgent
  evaluate("guard")

  # Class: the last method of those that our file needs, and that file.
  AWAITED = {
    "Rake::Task" => [:execute, "rake"],
    "Rake::ThreadPool" => [:future, "rake"],
    "Thor" => [:help, "thor"],
    "Thor::Group" => [:_invoke_for_class_method, "thor"]
  }.freeze

  @listeners = {} # by framework's class

  # Hears of the methods of a framework's class, up to the awaited one: Thor asks which file has called
  # its own method_added.
  module Methods
    private

    def method_added(name)
      super
      AutotaskAgent.evaluate("guard", :method_defined, self, name) # as it rescues what fails
    end
  end

  # Prepended, because the `method_added` of Thor 0.20 calls no other.
  def self.await(made)
    made.singleton_class.prepend(@listeners[made] = Methods.clone) if AWAITED.key?(made.name)
  end

  def self.method_defined(owner, name)
    method, framework = AWAITED[owner.name]
    return unless name == method && (listener = @listeners.delete(owner))

    listener.__send__(:remove_method, :method_added)
    load("frameworks/#{framework}")
    const_get(framework.capitalize).instrument(owner)
  end
end
