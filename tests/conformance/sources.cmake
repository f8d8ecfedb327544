# The files of the suite, for this build and for the installed kit. They run in this order. The random sequences come
# last: where a simple case fails too, that one says more.
set(embedjobs_conformance_sources)
foreach(name
    batch_test claim_test crash_test document_test durable_test enqueue_test error_text_test fleet_test history_test
    host_persister_test lease_test main model model_catalog outcome_test persister_test provider_test race_test
    reserve_test reuse_test scene space_test stress_test sweep_test model_test)
  list(APPEND embedjobs_conformance_sources ${CMAKE_CURRENT_LIST_DIR}/${name}.cpp)
endforeach()
