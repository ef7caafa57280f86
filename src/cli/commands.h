// One function per command: it adds the command to the program, with its options, help and what it does.
#pragma once

#include <CLI/CLI.hpp>

namespace kvpress {

void add_ppl_command(CLI::App& program);
void add_evaluate_command(CLI::App& program);
void add_compare_command(CLI::App& program);
void add_breakeven_command(CLI::App& program);
void add_heatmap_command(CLI::App& program);
void add_sweep_command(CLI::App& program);
void add_presses_command(CLI::App& program);
void add_inspect_command(CLI::App& program);
void add_generate_command(CLI::App& program);
void add_compress_command(CLI::App& program);
void add_ask_command(CLI::App& program);
void add_chat_command(CLI::App& program);
void add_bench_command(CLI::App& program);
void add_calibrate_command(CLI::App& program);
void add_report_command(CLI::App& program);
void add_pull_command(CLI::App& program);
void add_task_command(CLI::App& program);
void add_serve_command(CLI::App& program);
void add_completions_command(CLI::App& program);

}  // namespace kvpress
