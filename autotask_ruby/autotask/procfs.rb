# frozen_string_literal: true

# Which process this is, so that another one can tell later whether it still lives; as
# autotask/procfs.py.
module AutotaskAgent
  module Procfs
    class << self
      # Return `boot id/pid namespace/start time in clock ticks` of a process, ours by default.
      #
      # What the system does not tell is `?`; see proc(5), `/proc/pid/stat` field 22.
      def identity(pid = nil)
        boot = read("/proc/sys/kernel/random/boot_id").strip
        AutotaskAgent.load("boot_id") if boot.empty?
        boot = BootId.guess if boot.empty?
        "#{boot}/#{namespace}/#{start_time(pid || "self") || "?"}"
      end

      # Return when a process of this namespace started; nil for none, or a zombie.
      def start_time(who)
        fields = stat_fields(who)
        fields[19] unless fields.nil? || fields[0] == "Z" || fields[0] == "X"
      end

      # Return the fields of /proc/pid/stat from the third (state) on.
      def stat_fields(who)
        data = read("/proc/#{who}/stat")
        data.rpartition(")")[2].split(" ") unless data.empty?
      end

      # Return this process's largest resident memory so far, in bytes (`VmHWM`, see proc(5)).
      def largest_memory
        kilobytes = read("/proc/self/status")[/VmHWM:\s*(\d+)/, 1]
        kilobytes && kilobytes.to_i * 1024
      end

      # Return what a file of /proc holds; nothing if the system hides it. By IO: tests of programs
      # replace the methods of File.
      def read(path)
        ::IO.binread(path)
      rescue ::SystemCallError
        ""
      end

      private

      def namespace
        ::File.readlink("/proc/self/ns/pid")[/\d+/]
      rescue ::SystemCallError
        "?"
      end
    end
  end
end
