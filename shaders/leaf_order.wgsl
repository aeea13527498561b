// The third step of the leaf form for many tokens. It orders the tokens leaf by leaf.

override LEAVES: u32;

@group(0) @binding(1) var<storage, read> routes: array<u32>;      // written by leaf_group.wgsl
@group(0) @binding(2) var<storage, read_write> order: array<u32>; // [tokens]; leaf_route.wgsl sets the highest bit

@compute @workgroup_size(GROUP)
fn main(
    @builtin(local_invocation_index) thread: u32,
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let token = (group.y * groups.x + group.x) * GROUP + thread;
    if token < extent() {
        let route = routes[2u * LEAVES + 2u * token];
        let place = routes[LEAVES + (route & 0x7fffffffu)] + routes[2u * LEAVES + 2u * token + 1u];
        order[place] = token | (route & 0x80000000u);
    }
}
