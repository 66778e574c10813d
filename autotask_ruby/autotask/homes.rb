# frozen_string_literal: true

# Find the home that this user may write, and make folders in it.
module AutotaskAgent
  load("journal") # its ways to open

  # Loaded only if the journal's folder cannot be opened at once: at the very first run, in a shared
  # home, if the home is a link, and if it belongs to another user.
  module Homes
    HAS_PROC = File.directory?("/proc/self/fd")
    # As Journal::HOME. Without /proc no link may be opened, because its path would lead on.
    HOME = HAS_PROC ? Journal::HOME : Journal::SAFE
    SHARED = "shared" # a file of root's in a home that `autotask init-home` has made
    MOST_LINKS = 40 # as many as Linux follows
    STICKY = 0o1000
    PRIVATE = [0o700, 0o600].freeze # modes of folders and files
    BY_GROUP = [0o2750, 0o640].freeze
    BY_ALL = [0o755, 0o644].freeze

    class << self
      # Return the home for this user's runs, and the mode of the files in it.
      #
      # That is *home* itself; in a shared home the user's own folder; and the user's usual home if
      # *home* belongs to another user. *stay*: only *home* itself.
      def settle(home, stay = false)
        modes = shared_modes(home)
        candidates(home, modes).each do |candidate, (folder_mode, file_mode)|
          next if stay && candidate != home

          if may_make?(candidate) && !File.symlink?(File.join(candidate, "journal"))
            begin
              make_in(candidate, "journal", folder_mode)
            rescue ::SystemCallError
              raise unless modes || others?(home)
            end
          end
          return [candidate, file_mode] if journal?(candidate)
        end
        folder = File.join(home, "journal")
        why = File.symlink?(folder) ? "is a link" : "belongs to another user"
        raise ::Errno::EACCES, "#{why}: #{folder}"
      end

      # Open a folder in a home, which may be a link of this user's or root's.
      def open_folder(home, name)
        above = File.new(followed(home), HOME)
        folder = File.new(path_in(above, name), Journal::SAFE)
        status = folder.stat
        return folder if status.directory? && status.owned?

        folder.close
        raise ::Errno::EACCES, "belongs to another user: #{folder.path}"
      ensure
        above.close if above
      end

      # Open the folder of the marks, made if it is missing.
      def marks_folder(home)
        # In a shared home others may see which runs became another program.
        make_in(home, "open", File.stat("#{home}/journal").mode & 0o2755)
        open_folder(home, "open")
      end

      # Make a folder in a home; a home that this user owns may be below another user's.
      def make_in(home, name, mode)
        above = own_home(home) || walked(home, mode)
        step(above, name, mode).close
      ensure
        above.close if above
      end

      # Return a user's home directory; nil if none is known.
      def of_user(uid)
        # Rake has loaded Etc. We do not.
        return ::Etc.getpwuid(uid).dir if defined?(::Etc) && ::Etc.respond_to?(:getpwuid)

        File.foreach("/etc/passwd", mode: "rb") do |line|
          words = line.split(":", -1)
          return words[5] if words[2] == uid.to_s && words[5]
        end
        nil
      rescue ::ArgumentError, ::SystemCallError # unknown user
        nil
      end

      private

      # Return the path of what is in an open folder, whatever its own path leads to meanwhile.
      def path_in(folder, name)
        HAS_PROC ? "/proc/self/fd/#{folder.fileno}/#{name}" : "#{folder.path}/#{name}"
      end

      # Open a home of this user's; nil if it is none.
      def own_home(home)
        folder = File.new(followed(home), HOME)
        status = folder.stat
        return folder if status.directory? && status.owned?

        folder.close
        nil
      rescue ::SystemCallError
        nil
      end

      # Return the homes for this user's runs, the best one first, with the modes of new things.
      def candidates(home, modes)
        first = modes ? [File.join(home, ::Process.euid.to_s), modes] : [home, PRIVATE]
        usual = usual_home if modes || others?(home)
        usual ? [first, [usual, PRIVATE]] : [first]
      end

      # Return this user's home if no variable names another one.
      def usual_home
        folder = of_user(::Process.euid)
        File.join(folder, ".local", "state", "autotask") if folder && !folder.empty?
      end

      # Return the modes of folders and files in a shared home; nil if it is not one.
      #
      # Root owns it and it is sticky, so one user cannot remove another user's folder.
      def shared_modes(home)
        folder = status(home)
        file = lstatus(File.join(home, SHARED))
        return unless folder && file && file.file?
        return unless folder.uid.zero? && file.uid.zero? && (folder.mode & STICKY) != 0

        (folder.mode & 0o002).zero? ? BY_GROUP : BY_ALL
      end

      # Return the folder that a home is, or that it leads to as a link.
      # Another user's link is refused: it may lead anywhere.
      def followed(home)
        MOST_LINKS.times do
          status = lstatus(home)
          return home unless status && status.symlink?

          check_owner(status, home)
          link = File.readlink(home)
          home = link.start_with?("/") ? link : File.join(File.dirname(home), link)
        end
        home
      end

      def may_make?(home)
        status = lstatus(followed(home))
        status && status.owned? || stranger(home).nil?
      rescue ::Errno::EACCES
        false
      end

      def journal?(home)
        open_folder(home, "journal").close
        true
      rescue ::SystemCallError
        false
      end

      # Tell whether a home belongs to another user, or would be made in another user's folder.
      def others?(home)
        status = status(followed(home))
        return !status.owned? if status && status.directory?

        !stranger(home).nil?
      rescue ::Errno::EACCES
        true
      end

      # Return the first folder or link on the way to *path* that another user (but root) owns.
      def stranger(path)
        path = File.absolute_path(path.b) # bytes: it need not be UTF-8
        [path, real(path)].each do |whole|
          step = ""
          whole.split("/").drop(1).each do |word|
            step = "#{step}/#{word}"
            status = lstatus(step)
            break if status.nil?
            return step unless ours?(status)
          end
        end
        nil
      end

      # Return a path without links as far as it exists.
      def real(path)
        File.realpath(path)
      rescue ::SystemCallError
        above = File.dirname(path)
        above == path ? path : File.join(real(above), File.basename(path))
      end

      # Open a folder step by step; make it, and those above it, if they are missing.
      #
      # By descriptor, not by path: in /tmp another user could put a link there meanwhile.
      def walked(path, mode)
        folder = File.new("/", HOME)
        words = path.b.split("/").reverse
        links = 0
        until words.empty?
          word = words.pop
          next if ["", "."].include?(word)

          target = target(folder, word)
          if target
            raise ::Errno::ELOOP, path if (links += 1) > MOST_LINKS

            words.concat(target.b.split("/").reverse)
            word = target.start_with?("/") ? "/" : "."
          end
          below = step(folder, word, mode)
          folder.close
          folder = below
        end
        found = folder
        folder = nil
        found
      ensure
        folder.close if folder
      end

      # Return where a link of this user's or root's leads; nil if it is not a link.
      def target(folder, name)
        path = path_in(folder, name)
        status = lstatus(path)
        return unless status && status.symlink?

        check_owner(status, name)
        File.readlink(path)
      end

      # Open a folder in another one, made if it is missing; no link is followed.
      def step(folder, name, mode)
        path = name == "/" ? name : path_in(folder, name)
        below = begin
          File.new(path, HOME)
        rescue ::Errno::ENOENT
          made(path, mode)
        end
        begin
          status = below.stat
          raise ::Errno::ENOTDIR, name unless status.directory?

          check_owner(status, name)
        rescue ::SystemCallError
          below.close
          raise
        end
        below
      end

      def made(path, mode)
        ::Dir.mkdir(path, mode)
        # The umask may forbid us to open the new folder; O_PATH needs no right to it.
        folder = File.new(path, HOME)
        begin
          File.chmod(mode, "/proc/self/fd/#{folder.fileno}") if folder.stat.owned?
        rescue ::SystemCallError # no /proc
          nil
        end
        folder
      rescue ::Errno::EEXIST # another process was faster
        File.new(path, HOME)
      end

      def ours?(status)
        status.uid.zero? || status.owned?
      end

      def check_owner(status, name)
        raise ::Errno::EACCES, "belongs to another user: #{name}" unless ours?(status)
      end

      def status(path)
        File.stat(path)
      rescue ::SystemCallError
        nil
      end

      def lstatus(path)
        File.lstat(path)
      rescue ::SystemCallError
        nil
      end
    end
  end
end
