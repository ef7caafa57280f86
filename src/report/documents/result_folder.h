// Result folders in the layout of kvpress's evaluation: <data set>__<model>__<press>__<ratio>/ with predictions.csv,
// metrics.json and config.yaml, per_text.csv if there are several texts, and further files on request. A folder is
// written atomically and never overwritten.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "kvpress/eval/run.h"
#include "report/documents/json.h"

namespace kvpress {

/// "wikitext_ppl__EleutherAI--pythia-70m__knorm__0.50"
std::string result_folder_name(const std::string& dataset, const std::string& model, const std::string& press,
                               double compression_ratio);

/// Further files of a folder by name, such as timeline.json, with their content.
using MoreFiles = std::map<std::string, std::string>;

/// Writes the files to output_dir/name or, if that exists, to its first free sub-folder 1, 2, ... Returns the folder.
/// Throws Error with the path if it cannot be written, and leaves nothing behind.
std::filesystem::path write_result_folder(const std::filesystem::path& output_dir, const std::string& name,
                                          const std::string& predictions_csv, const Json& metrics, const Json& config,
                                          const MoreFiles& more = {});

/// The same for a folder with other files.
std::filesystem::path write_folder(const std::filesystem::path& output_dir, const std::string& name,
                                   const MoreFiles& files);

/// As write_result_folder(), but returns false if output_dir/name exists, and leaves it unchanged.
bool write_new_result_folder(const std::filesystem::path& output_dir, const std::string& name,
                             const std::string& predictions_csv, const Json& metrics, const Json& config,
                             const MoreFiles& more = {});

/// predictions.csv: a row per window, segment or text.
std::string predictions_csv(const RunResult& run, const RunResult& full);

/// per_text.csv: a row per text, and rows `mean`, `ci95_low`, `ci95_high` and `sd` over texts, from metrics with
/// per_text.
std::string per_text_csv(const Json& metrics);

/// A flat object as YAML; strings are quoted if YAML would read them as another type.
std::string to_yaml(const Json& object);

}  // namespace kvpress
