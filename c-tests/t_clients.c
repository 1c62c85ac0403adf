/* Rules A3, A9, B1, B2: handles, registration, and callbacks that are not there. */
#include "fixture.h"

static const DWORD on_1_2[] = {1, 2, 0};
static const DWORD on_none[] = {0};

static void b1_a_pair_registers_once(void)
{
    HANDLE again = NULL;
    start_host();
    CHECK_CODE(enrol(&A), NO_ERROR);
    CHECK(A.handle != NULL);
    CHECK_CODE(MgmRegisterMProtocol(&A.config, A.protocol, A.component, &again),
               ERROR_ALREADY_EXISTS);
    CHECK(again == NULL); /* rule A2: no output on failure */
    stop_host();
}

static void b1_another_component_is_another_client(void)
{
    HANDLE other = NULL;
    start_host();
    CHECK_CODE(enrol(&A), NO_ERROR);
    CHECK_CODE(MgmRegisterMProtocol(&A.config, A.protocol, A.component + 1, &other), NO_ERROR);
    CHECK(other != NULL && other != A.handle);
    CHECK_CODE(take(&A, 1), NO_ERROR);
    CHECK_CODE(MgmTakeInterfaceOwnership(other, 1, 0), ERROR_ALREADY_EXISTS);
    CHECK_CODE(MgmDeRegisterMProtocol(other), NO_ERROR);
    stop_host();
}

static void b1_the_configuration_is_copied(void)
{
    ROUTING_PROTOCOL_CONFIG *config;
    start_host();
    enrol_with(&B, on_none);
    config = (ROUTING_PROTOCOL_CONFIG *)malloc(sizeof *config);
    CHECK(config != NULL);
    if (config != NULL) {
        *config = A.config;
        CHECK_CODE(MgmRegisterMProtocol(config, A.protocol, A.component, &A.handle), NO_ERROR);
        memset(config, 0xa5, sizeof *config);
        free(config);
        CHECK_CODE(take(&B, 1), NO_ERROR);
        CHECK_CODE(add(&B, "*", G1, 1, JOIN), NO_ERROR);
        CHECK_LINES(A, "JOIN (*,239.1.1.1) member\n");
    }
    stop_host();
}

static void b1_a_deregistered_pair_registers_again(void)
{
    HANDLE old;
    start_host();
    CHECK_CODE(enrol(&A), NO_ERROR);
    old = A.handle;
    CHECK_CODE(MgmDeRegisterMProtocol(A.handle), NO_ERROR);
    CHECK_CODE(enrol(&A), NO_ERROR);
    CHECK(A.handle != old);
    stop_host();
}

static void b2_an_owner_cannot_deregister(void)
{
    start_host();
    enrol_with(&A, on_1_2);
    CHECK_CODE(MgmDeRegisterMProtocol(A.handle), ERROR_CAN_NOT_COMPLETE);
    CHECK_CODE(release(&A, 1), NO_ERROR); /* it stayed registered */
    CHECK_CODE(MgmDeRegisterMProtocol(A.handle), ERROR_CAN_NOT_COMPLETE);
    CHECK_CODE(release(&A, 2), NO_ERROR);
    CHECK_CODE(MgmDeRegisterMProtocol(A.handle), NO_ERROR);
    stop_host();
}

static void b2_igmp_on_an_interface_cannot_deregister_either(void)
{
    start_host();
    enrol_with(&A, on_1_2);
    enrol_with(&IGMP, on_1_2);
    CHECK_CODE(MgmDeRegisterMProtocol(IGMP.handle), ERROR_CAN_NOT_COMPLETE);
    CHECK_CODE(release(&IGMP, 1), NO_ERROR);
    CHECK_CODE(release(&IGMP, 2), NO_ERROR);
    CHECK_CODE(MgmDeRegisterMProtocol(IGMP.handle), NO_ERROR);
    stop_host();
}

static void b2_enumerations_end_with_their_client(void)
{
    HANDLE rows = NULL;
    BYTE buffer[64];
    DWORD size = sizeof buffer, count = 0;
    start_host();
    enrol_with(&A, on_none);
    CHECK_CODE(MgmGroupEnumerationStart(A.handle, ANY_SOURCE, &rows), NO_ERROR);
    CHECK_CODE(MgmDeRegisterMProtocol(A.handle), NO_ERROR);
    CHECK_CODE(MgmGroupEnumerationGetNext(rows, &size, buffer, &count), ERROR_INVALID_PARAMETER);
    CHECK_CODE(MgmGroupEnumerationEnd(rows), ERROR_INVALID_PARAMETER);
    stop_host();
}

/* Every function that takes a protocol's handle, with one that is none. */
static void refuse_everywhere(HANDLE bad)
{
    HANDLE rows = NULL;
    MIB_IPMCAST_MFE mfe;
    memset(&mfe, 0, sizeof mfe);
    mfe.dwSource = ip(S1);
    mfe.dwGroup = ip(G1);
    CHECK_CODE(MgmDeRegisterMProtocol(bad), ERROR_INVALID_PARAMETER);
    CHECK_CODE(MgmTakeInterfaceOwnership(bad, 7, 0), ERROR_INVALID_PARAMETER);
    CHECK_CODE(MgmReleaseInterfaceOwnership(bad, 1, 0), ERROR_INVALID_PARAMETER);
    CHECK_CODE(MgmAddGroupMembershipEntry(bad, 0, 0, ip(G1), ALL_ONES, 1, 0, JOIN),
               ERROR_INVALID_PARAMETER);
    CHECK_CODE(MgmDeleteGroupMembershipEntry(bad, 0, 0, ip(G1), ALL_ONES, 1, 0, JOIN),
               ERROR_INVALID_PARAMETER);
    CHECK_CODE(MgmSetMfe(bad, &mfe), ERROR_INVALID_PARAMETER);
    CHECK_CODE(MgmGroupEnumerationStart(bad, ALL_SOURCES, &rows), ERROR_INVALID_PARAMETER);
    CHECK(rows == NULL);
}

static void a3_null_forged_and_stale_handles(void)
{
    DWORD local = 0, protocol = 0, component = 0;
    HANDLE stale, rows = NULL;
    start_host();
    enrol_with(&A, on_1_2);
    CHECK_CODE(enrol(&B), NO_ERROR);
    stale = B.handle;
    CHECK_CODE(MgmDeRegisterMProtocol(B.handle), NO_ERROR);
    CHECK_CODE(enrol(&C), NO_ERROR); /* may use the same slot again */
    refuse_everywhere(NULL);
    refuse_everywhere((HANDLE)1);
    refuse_everywhere((HANDLE)-1);
    refuse_everywhere((HANDLE)&local);
    refuse_everywhere(stale);
    CHECK_CODE(MgmGroupEnumerationStart(A.handle, ALL_SOURCES, &rows), NO_ERROR);
    refuse_everywhere(rows);
    CHECK_CODE(MgmGroupEnumerationEnd(A.handle), ERROR_INVALID_PARAMETER);
    CHECK_CODE(MgmGroupEnumerationEnd(rows), NO_ERROR);
    CHECK_CODE(MgmGetProtocolOnInterface(7, 0, &protocol, &component), ERROR_NOT_FOUND);
    CHECK_LINES(C, "");
    stop_host();
}

static void a3_slots_used_again_many_times(void)
{
    enum { ROUNDS = 300 };
    static HANDLE old[ROUNDS];
    int n;
    start_host();
    for (n = 0; n < ROUNDS; n++) {
        CHECK_CODE(enrol(&A), NO_ERROR);
        old[n] = A.handle;
        CHECK_CODE(MgmDeRegisterMProtocol(A.handle), NO_ERROR);
    }
    CHECK_CODE(enrol(&A), NO_ERROR);
    for (n = 0; n < ROUNDS; n++)
        CHECK_CODE(MgmDeRegisterMProtocol(old[n]), ERROR_INVALID_PARAMETER);
    CHECK_CODE(MgmDeRegisterMProtocol(A.handle), NO_ERROR);
    stop_host();
}

static void a9_all_callbacks_null(void)
{
    start_host();
    memset(&A.config, 0, sizeof A.config);
    memset(&IGMP.config, 0, sizeof IGMP.config);
    enrol_with(&A, on_1_2);
    enrol_with(&IGMP, on_1_2);
    enrol_with(&B, on_none);
    CHECK_CODE(take(&B, 3), NO_ERROR);
    CHECK_CODE(add(&B, "*", G1, 3, JOIN), NO_ERROR);       /* A's join alert */
    CHECK_CODE(add(&IGMP, "*", G1, 2, JOIN), NO_ERROR);    /* A's local join */
    CHECK_CODE(packet_in(1, S1, G1), NO_ERROR);            /* RPF, creation, join */
    CHECK_OIFS(S1, G1, "2 3");
    CHECK_CODE(packet_in(2, S1, G1), NO_ERROR);            /* wrong interface */
    CHECK_CODE(drop(&IGMP, "*", G1, 2, JOIN), NO_ERROR);
    CHECK_CODE(drop(&B, "*", G1, 3, JOIN), NO_ERROR);      /* prune */
    CHECK_OIFS(S1, G1, "");
    CHECK_CODE(release(&A, 1), NO_ERROR);                  /* disable and enable IGMP */
    CHECK_CODE(release(&A, 2), NO_ERROR);
    CHECK_CODE(MgmDeRegisterMProtocol(A.handle), NO_ERROR);
    stop_host();
}

int main(void)
{
    RUN(b1_a_pair_registers_once);
    RUN(b1_another_component_is_another_client);
    RUN(b1_the_configuration_is_copied);
    RUN(b1_a_deregistered_pair_registers_again);
    RUN(b2_an_owner_cannot_deregister);
    RUN(b2_igmp_on_an_interface_cannot_deregister_either);
    RUN(b2_enumerations_end_with_their_client);
    RUN(a3_null_forged_and_stale_handles);
    RUN(a3_slots_used_again_many_times);
    RUN(a9_all_callbacks_null);
    return check_summary();
}
