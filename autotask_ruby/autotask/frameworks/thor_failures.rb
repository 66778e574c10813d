# frozen_string_literal: true

# Thor's other half: failures, wrong arguments, and the names of what a command calls.
module AutotaskAgent
  load("failing")
  load("frames")

  # Goes on with thor.rb.
  module Thor
    class << self
      private

      def failed(call, problem)
        Frames.hide(problem)
        run = call.run
        return if run.nil? || run.ended

        outcome = judged(problem)
        if run.server && outcome.stopped?
          Recorder.end(run, SUCCESS)
        else
          Recorder.fail(run, problem, outcome)
        end
      end

      # Reports what has kept a class from its command: mostly wrong arguments.
      def refuse(call, problem, config)
        failed(call, problem)
        return if call.reached || !(call.owner <= ::Thor)

        outcome = judged(problem)
        return unless outcome.failure?

        task = [@program, *path_asked(call, config[:current_command], problem)].join(".")
        run = Recorder.report(task, "thor", outcome)
        Recorder.note(problem, run) if run
      end

      def left(call, problem)
        Recorder.leave(call.run, problem)
      end

      # The dispatch of a command of *owner* that is run without one.
      def dispatch_of(owner)
        Call.new.tap do |made|
          made.outer = place
          made.path = path_to(owner, made.outer)
        end
      end

      # The names that lead to the command whose arguments were wrong.
      def path_asked(dispatch, command, problem)
        return dispatch.path if command.nil? || problem.is_a?(::Thor::AmbiguousCommandError)

        path_of(command, dispatch.owner, dispatch) || dispatch.path
      end

      # The names that lead to a class through the nearest class around that is the same, or has it
      # as a subcommand; else its namespace.
      def names_to(owner, around)
        while around
          return around.path if around.owner.equal?(owner)

          name = around.owner.subcommand_classes.key(owner) if around.owner.respond_to?(:subcommand_classes)
          return around.path + [name] if name

          around = around.outer
        end
        names = owner.name ? owner.namespace.split(":").reject(&:empty?) : []
        [@program, "default"].include?(names.first) ? names.drop(1) : names
      end

      # The message of a usage error holds arguments: it is not recorded.
      def judged(problem)
        case problem
        when ::Thor::InvocationError, ::Thor::UndefinedCommandError, ::Thor::AmbiguousCommandError,
             ::Thor::UnknownArgumentError
          Outcome.failure("usage")
        else Outcome.raised(problem, Recorder.settings)
        end
      end
    end
  end
end
