-- Requests of wrk with a different head each time, so that no server has it in a cache.
local number = 0
request = function()
    number = number + 1
    return wrk.format("GET", "/answer", { ["X-Number"] = tostring(number) })
end
