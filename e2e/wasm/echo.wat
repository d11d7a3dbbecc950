;; A proxy-wasm filter (ABI 0.2.1) that adds to each response the header `x-plugin-configuration`, with the configuration that Envoy gave it.
(module
  (import "env" "proxy_get_buffer_bytes"
    (func $get_buffer (param $type i32) (param $start i32) (param $size i32) (param $data i32) (param $length i32) (result i32)))
  (import "env" "proxy_add_header_map_value"
    (func $add_header (param $map i32) (param $key i32) (param $key_size i32) (param $value i32) (param $value_size i32) (result i32)))
  (memory (export "memory") 4)
  (data (i32.const 16) "x-plugin-configuration")
  ;; Where the host writes the configuration's address, and after it its length.
  (global $configuration i32 (i32.const 64))
  (global $free (mut i32) (i32.const 4096))

  (func (export "proxy_abi_version_0_2_1"))
  ;; Whatever the host allocates is kept: that is the configuration, once.
  (func (export "proxy_on_memory_allocate") (param $size i32) (result i32)
    (local $block i32)
    (local.set $block (global.get $free))
    (global.set $free (i32.add (global.get $free) (local.get $size)))
    (local.get $block))
  (func (export "proxy_on_context_create") (param i32 i32))
  (func (export "proxy_on_vm_start") (param i32 i32) (result i32) (i32.const 1))
  (func (export "proxy_on_configure") (param i32) (param $size i32) (result i32)
    (i32.eqz
      (call $get_buffer
        (i32.const 7) ;; the plugin's configuration
        (i32.const 0)
        (local.get $size)
        (global.get $configuration)
        (i32.add (global.get $configuration) (i32.const 4)))))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0))
  (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
    (drop
      (call $add_header
        (i32.const 2) ;; the response's headers
        (i32.const 16)
        (i32.const 22)
        (i32.load (global.get $configuration))
        (i32.load (i32.add (global.get $configuration) (i32.const 4)))))
    (i32.const 0))
  (func (export "proxy_on_done") (param i32) (result i32) (i32.const 1))
  (func (export "proxy_on_log") (param i32))
  (func (export "proxy_on_delete") (param i32)))
