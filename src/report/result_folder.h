// Result folders in the layout of kvpress's evaluation: <data set>__<model>__<press>__<ratio>/ with predictions.csv,
// metrics.json and config.yaml, of several texts per_text.csv, and what else a run was asked for. A folder appears
// whole or not at all and is never overwritten.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "kvpress/report/run_document.h"

namespace kvpress {

/// "wikitext_ppl__EleutherAI--pythia-70m__knorm__0.50"
std::string result_folder_name(const std::string& dataset, const std::string& model, const std::string& press,
                               double compression_ratio);

/// Files of a folder, name and content: timeline.json.
using MoreFiles = std::map<std::string, std::string>;

/// Writes the files into output_dir/name, or, where that exists, into its first free sub-folder 1, 2, ... Returns the
/// folder. Throws Error naming the path when it cannot be written; nothing is left behind then.
std::filesystem::path write_result_folder(const std::filesystem::path& output_dir, const std::string& name,
                                          const std::string& predictions_csv, const Json& metrics, const Json& config,
                                          const MoreFiles& more = {});

/// The same for a folder of other files.
std::filesystem::path write_folder(const std::filesystem::path& output_dir, const std::string& name,
                                   const MoreFiles& files);

/// As write_result_folder(), but false when output_dir/name exists already; that one stays as it is.
bool write_new_result_folder(const std::filesystem::path& output_dir, const std::string& name,
                             const std::string& predictions_csv, const Json& metrics, const Json& config,
                             const MoreFiles& more = {});

/// A row per window, segment or text.
std::string predictions_csv(const RunResult& run, const RunResult& full);

/// A row per text, and rows `mean`, `ci95_low`, `ci95_high` and `sd` over texts, from metrics that have per_text.
std::string per_text_csv(const Json& metrics);

/// A flat object as YAML; strings quoted where YAML would read them as something else.
std::string to_yaml(const Json& object);

}  // namespace kvpress
