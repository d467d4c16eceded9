-- wrk's requests with a head that differs each time, so that no server can know it already.
local number = 0
request = function()
    number = number + 1
    return wrk.format("GET", "/answer", { ["X-Number"] = tostring(number) })
end
