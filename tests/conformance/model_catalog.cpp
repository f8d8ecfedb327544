// The model's documents and rows: see model.hpp.
#include "conformance/model.hpp"

namespace embedjobs::test {

EnqueueResult Model::put(const SpecKey& key, const std::string& content, const std::string& target) {
  ModelCatalog& catalog = catalogs[key.catalog_id];
  if (catalog.target.empty()) {
    catalog.target = catalog.search = target;
  }
  specs[key].exists = true;
  specs[key].content = content;
  return enqueue(key, JobKind::kSpecWrite);
}

void Model::clear(const SpecKey& key) {
  ModelSpec& spec = specs.at(key);
  spec.exists = false;
  spec.content.reset();
  spec.rows.clear();
  spec.visible = "";
  spec.finalized = {};
  spec.operation_count = 0;
  flip(key.catalog_id);
}

Code Model::remove(const SpecKey& key) {
  ModelSpec& spec = specs[key];
  if (!spec.exists && spec.open == 0) {
    return Code::kNotFound;
  }
  cancel(spec);
  clear(key);
  return Code::kOk;
}

Code Model::remove_catalog(const std::string& catalog) {
  bool any = false;
  for (auto& [key, spec] : specs) {
    any = (key.catalog_id == catalog && remove(key) == Code::kOk) || any;
  }
  return any ? Code::kOk : Code::kNotFound;
}

std::size_t Model::switch_space(const std::string& catalog, const std::string& target) {
  if (catalogs.at(catalog).target == target) {
    return 0;
  }
  catalogs.at(catalog).target = target;
  std::size_t enqueued = 0;
  for (auto& [key, spec] : specs) {
    if (key.catalog_id != catalog || spec.removed || (!spec.exists && spec.open == 0)) {
      continue;
    }
    ++enqueued;
    ++enqueues;
    ++spec.generation;
    if (spec.open == 0) {
      open_job(key, JobKind::kReconciler);
    } else {
      ModelJob& job = jobs.at(spec.open);
      if (job.status == JobStatus::kRunning) {
        leave(job, spec);
      }
      start_over(job, spec);
    }
  }
  flip(catalog);
  return enqueued;
}

Code Model::check_pass(const PassContext& context) const {
  if (const_cast<Model*>(this)->held(context.job_id, context.key, context.fence) == nullptr) {
    return Code::kLeaseLost;
  }
  return catalogs.at(context.key.catalog_id).target == context.space.id() ? Code::kOk : Code::kRefused;
}

bool Model::usable(const PassContext& context, const std::string& text) const {
  const auto found = vectors.find({context.key.catalog_id, context.space.id(), text});
  if (found == vectors.end() || found->second.epoch < context.reuse_floor) {
    return false;
  }
  const ModelVector& vector = found->second;
  if (vector.embedded_bytes == 0 || context.input_cap == vector.input_cap) {
    return true;
  }
  const std::size_t allowed = context.input_cap == 0 ? static_cast<std::size_t>(-1) : context.input_cap;
  return allowed <= vector.embedded_bytes;
}

std::pair<Code, std::vector<bool>> Model::list_existing(const PassContext& context, const ModelOps& ops) const {
  const Code code = check_pass(context);
  std::vector<bool> answer;
  for (const auto& [id, text] : ops) {
    answer.push_back(usable(context, text));
  }
  return {code, code == Code::kOk ? answer : std::vector<bool>()};
}

Code Model::persist_batch(const PassContext& context, const ModelOps& ops, const ModelVector& mark) {
  const Code code = check_pass(context);
  if (code != Code::kOk) {
    return code;
  }
  count(jobs.at(context.job_id), context.prompt_tokens);
  ModelSpec& spec = specs.at(context.key);
  spec.exists = true;
  for (const auto& [id, text] : ops) {
    const std::tuple address(context.key.catalog_id, context.space.id(), text);
    if (!vectors.contains(address) || vectors.at(address).epoch <= context.epoch) {
      vectors[address] = mark;
      vectors[address].epoch = context.epoch;
    }
    spec.rows[context.space.id()][id] = text;
  }
  if (spec.visible.empty()) {
    spec.visible = context.space.id();
  }
  return code;
}

Code Model::finalize(const PassContext& context, const ModelOps& ops) {
  const Code code = check_pass(context);
  if (code != Code::kOk) {
    return code;
  }
  for (const auto& [id, text] : ops) {
    if (!usable(context, text)) {
      return Code::kIncomplete;
    }
  }
  ModelSpec& spec = specs.at(context.key);
  const std::string space = context.space.id();
  spec.exists = true;
  spec.visible = space;
  spec.operation_count = static_cast<std::int64_t>(ops.size());
  spec.finalized = {context.key, true, space, context.content_version, context.splitter_version};
  spec.rows[space] = {ops.begin(), ops.end()};
  flip(context.key.catalog_id);
  std::erase_if(spec.rows, [&](const auto& rows) {
    return rows.first != space && rows.first != catalogs.at(context.key.catalog_id).search;
  });
  return code;
}

void Model::flip(const std::string& catalog) {
  const std::string& target = catalogs[catalog].target;
  for (const auto& [key, spec] : specs) {
    const auto visible = spec.rows.find(spec.visible);
    const bool has_visible = visible != spec.rows.end() && !visible->second.empty();
    if (key.catalog_id == catalog && has_visible && spec.visible != target) {
      return;
    }
  }
  if (catalogs[catalog].search == target) {
    return;
  }
  catalogs[catalog].search = target;
  for (auto& [key, spec] : specs) {
    if (key.catalog_id == catalog) {
      std::erase_if(spec.rows, [&](const auto& rows) { return rows.first != target; });
    }
  }
}

bool Model::complete(const ModelSpec& spec) const {
  return spec.finalized.complete &&
         (!spec.content || spec.finalized.content_version == to_hex(hash_text(*spec.content)));
}

std::vector<std::string> Model::searchable(const std::string& catalog) const {
  std::vector<std::string> found;
  for (const auto& [key, spec] : specs) {
    const auto rows = spec.rows.find(catalogs.at(catalog).search);
    if (key.catalog_id != catalog || rows == spec.rows.end()) {
      continue;
    }
    for (const auto& [id, text] : rows->second) {
      found.push_back(key.spec_name + ":" + id);
    }
  }
  return found;
}

}  // namespace embedjobs::test
