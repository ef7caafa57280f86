#include "cli/manual.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <string_view>
#include <vector>

#include "base/file.h"
#include "kvpress/base/error.h"
#include "kvpress/base/version.h"

namespace kvpress {
namespace {

std::vector<const CLI::App*> commands_of(const CLI::App& program) {
  return program.get_subcommands([](const CLI::App* it) { return !it->get_group().empty(); });
}

std::vector<const CLI::Option*> options_of(const CLI::App& app) {
  return app.get_options([](const CLI::Option* it) { return !it->get_group().empty(); });
}

bool is_flag(const CLI::Option& option) { return option.get_items_expected_max() == 0; }

/// "-m", "--model": all ways to write it, short ones first.
std::vector<std::string> names_of(const CLI::Option& option) {
  std::vector<std::string> names;
  for (const std::string& it : option.get_snames()) names.push_back("-" + it);
  for (const std::string& it : option.get_lnames()) names.push_back("--" + it);
  return names;
}

/// Text for man: a backslash, and a dot or an apostrophe where a line begins, are commands there; a hyphen is not a
/// minus.
std::string escaped(std::string_view text) {
  std::string out;
  bool begins = true;
  for (const char c : text) {
    if (begins && (c == '.' || c == '\'')) out += "\\&";
    if (c == '\\') {
      out += "\\\\";
    } else if (c == '-') {
      out += "\\-";
    } else {
      out += c;
    }
    begins = c == '\n';
  }
  return out;
}

std::string title_of(const CLI::App& app) {
  return app.get_parent() == nullptr ? app.get_name() : app.get_parent()->get_name() + "-" + app.get_name();
}

std::string command_line_of(const CLI::App& app) {
  return app.get_parent() == nullptr ? app.get_name() : app.get_parent()->get_name() + " " + app.get_name();
}

std::string synopsis_of(const CLI::App& app) {
  std::string text = ".B " + escaped(command_line_of(app)) + "\n";
  if (app.get_parent() == nullptr) return text + ".I COMMAND\n[\\fIOPTION\\fR ...]\n";
  for (const CLI::Option* it : options_of(app)) {
    if (it->get_positional()) {
      text += fmt::format("{}\\fI{}\\fR{}\n", it->get_required() ? "" : "[", escaped(it->get_name(true)),
                          it->get_required() ? "" : "]");
    }
  }
  return text + "[\\fIOPTION\\fR ...]\n";
}

std::string described(const CLI::Option& option) {
  std::string text = option.get_description();
  if (option.get_required()) text += text.empty() ? "Required" : "; required";
  const std::string value = option.get_default_str();
  if (!value.empty() && !is_flag(option)) text += fmt::format(" (default: {})", value);
  return text;
}

std::string options_section(const CLI::App& app) {
  std::string text = ".SH OPTIONS\n";
  for (const CLI::Option* it : options_of(app)) {
    const std::vector<std::string> names = names_of(*it);
    const std::string name = names.empty()
                                 ? "\\fI" + escaped(it->get_name(true)) + "\\fR"
                                 : fmt::format("\\fB{}\\fR{}", escaped(fmt::format("{}", fmt::join(names, ", "))),
                                               is_flag(*it) ? "" : " \\fI" + escaped(it->get_type_name()) + "\\fR");
    text += ".TP\n" + name + "\n" + escaped(described(*it)) + "\n";
  }
  return text;
}

std::string commands_section(const CLI::App& program) {
  std::string text = ".SH COMMANDS\n";
  for (const CLI::App* it : commands_of(program)) {
    text += fmt::format(".TP\n\\fB{}\\fR\n{}. See \\fB{}\\fR(1).\n", escaped(it->get_name()),
                        escaped(it->get_description()), escaped(title_of(*it)));
  }
  return text;
}

/// What completes the words of a command line: its options, one a word.
std::string words_of(const CLI::App& app) {
  std::vector<std::string> words;
  for (const CLI::Option* it : options_of(app)) {
    for (const std::string& name : names_of(*it)) words.push_back(name);
  }
  return fmt::format("{}", fmt::join(words, " "));
}

std::string bash_script(const CLI::App& program) {
  std::vector<std::string> names;
  std::string cases;
  for (const CLI::App* it : commands_of(program)) {
    names.push_back(it->get_name());
    cases += fmt::format("    {}) words=\"{}\" ;;\n", it->get_name(), words_of(*it));
  }
  return fmt::format(R"(# bash completion of {0}
_{0}() {{
  local current=${{COMP_WORDS[COMP_CWORD]}} words
  if ((COMP_CWORD == 1)); then
    words="{1} --help --version"
  else
    case ${{COMP_WORDS[1]}} in
{2}    esac
  fi
  if [[ $current == -* || $COMP_CWORD == 1 ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
  fi
}}
complete -o default -F _{0} {0}
)",
                     program.get_name(), fmt::join(names, " "), cases);
}

/// In single quotes, for zsh and fish.
std::string shell_quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'') {
      out += "'\\''";
    } else if (c == '\n') {
      out += ' ';
    } else {
      out += c;
    }
  }
  return out + "'";
}

std::string zsh_script(const CLI::App& program) {
  std::string commands;
  std::string cases;
  for (const CLI::App* it : commands_of(program)) {
    commands += "    " + shell_quoted(it->get_name() + ":" + it->get_description()) + "\n";
    cases += fmt::format("    {}) compadd -- {} ;;\n", it->get_name(), words_of(*it));
  }
  return fmt::format(R"(#compdef {0}
# zsh completion of {0}
_{0}() {{
  local -a commands
  commands=(
{1}  )
  if ((CURRENT == 2)); then
    _describe command commands
    return
  fi
  if [[ ${{words[CURRENT]}} != -* ]]; then
    _files
    return
  fi
  case ${{words[2]}} in
{2}  esac
}}
_{0} "$@"
)",
                     program.get_name(), commands, cases);
}

std::string fish_script(const CLI::App& program) {
  const std::string& name = program.get_name();
  std::string text = fmt::format("# fish completion of {}\n", name);
  for (const CLI::App* command : commands_of(program)) {
    text += fmt::format("complete -c {} -n __fish_use_subcommand -a {} -d {}\n", name, command->get_name(),
                        shell_quoted(command->get_description()));
    for (const CLI::Option* it : options_of(*command)) {
      if (it->get_positional()) continue;
      std::string line = fmt::format("complete -c {} -n '__fish_seen_subcommand_from {}'", name, command->get_name());
      for (const std::string& s : it->get_snames()) line += " -s " + s;
      for (const std::string& l : it->get_lnames()) line += " -l " + l;
      text += line + (is_flag(*it) ? "" : " -r") + " -d " + shell_quoted(it->get_description()) + "\n";
    }
  }
  return text;
}

}  // namespace

std::string manual_page(const CLI::App& app) {
  std::string text =
      fmt::format(".TH \"{}\" 1 \"\" \"kvpress {}\" \"User Commands\"\n", escaped(title_of(app)), version());
  text += fmt::format(".SH NAME\n{} \\- {}\n", escaped(title_of(app)), escaped(app.get_description()));
  text += ".SH SYNOPSIS\n" + synopsis_of(app);
  const bool whole = app.get_parent() == nullptr;
  if (whole) text += commands_section(app);
  text += options_section(app);
  if (!app.get_footer().empty()) text += ".SH NOTES\n.nf\n" + escaped(app.get_footer()) + "\n.fi\n";
  text += ".SH EXIT STATUS\n0: success; 1: an error; 2: a request that makes no sense; 130: interrupted.\n";
  if (!whole) text += ".SH SEE ALSO\n.BR " + escaped(app.get_parent()->get_name()) + " (1)\n";
  return text;
}

void write_manuals(const CLI::App& program, const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  write_file(folder / (program.get_name() + ".1"), manual_page(program));
  for (const CLI::App* it : commands_of(program)) write_file(folder / (title_of(*it) + ".1"), manual_page(*it));
  write_file(folder / (program.get_name() + ".bash"), bash_script(program));
  write_file(folder / ("_" + program.get_name()), zsh_script(program));
  write_file(folder / (program.get_name() + ".fish"), fish_script(program));
}

std::string completion_script(const CLI::App& program, const std::string& shell) {
  if (shell == "bash") return bash_script(program);
  if (shell == "zsh") return zsh_script(program);
  if (shell == "fish") return fish_script(program);
  fail_usage("shell '{}' is not known; known: bash, zsh, fish", shell);
}

}  // namespace kvpress
